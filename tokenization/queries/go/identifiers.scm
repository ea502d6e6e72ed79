; Names in Go. What the captures mean is told in identifiers.py; of several captures of one node the strongest counts.

(identifier) @use
(type_identifier) @use.type
(field_identifier) @use.member

; Uses that say how the name is used. A conversion to a type can not be told from a call: what looks like either is one.
(call_expression function: (identifier) @use.call)
(call_expression function: (index_expression operand: (identifier) @use.call))
(type_conversion_expression type: (generic_type type: (type_identifier) @use.call))
(call_expression function: (selector_expression field: (field_identifier) @use.member.call))
(call_expression function: (index_expression operand: (selector_expression field: (field_identifier) @use.member.call)))

; The key of an element is a field in the literal of a struct and an expression in that of a map or an array. Where the
; type is only named, it is taken for a struct, as nearly all are.
(composite_literal
  type: [(type_identifier) (generic_type)]
  body: (literal_value (keyed_element key: (literal_element (identifier) @use.member))))
(composite_literal
  type: (struct_type)
  body: (literal_value (keyed_element key: (literal_element (identifier) @use.member))))
(literal_value (literal_element (literal_value (keyed_element key: (literal_element (identifier) @use.member)))))
(keyed_element
  value: (literal_element (literal_value (keyed_element key: (literal_element (identifier) @use.member)))))
; A field of another package's struct begins with a capital.
((composite_literal
  type: [
    (slice_type element: [(qualified_type) (pointer_type (qualified_type))])
    (array_type element: [(qualified_type) (pointer_type (qualified_type))])
    (implicit_length_array_type element: [(qualified_type) (pointer_type (qualified_type))])
    (map_type value: [(qualified_type) (pointer_type (qualified_type))])]
  body: (literal_value [
    (literal_element (literal_value (keyed_element key: (literal_element (identifier) @ignore))))
    (keyed_element
      value: (literal_element (literal_value (keyed_element key: (literal_element (identifier) @ignore)))))]))
  (#match? @ignore "^[A-Z]"))
((composite_literal
  type: [(qualified_type) (generic_type type: (qualified_type))]
  body: (literal_value (keyed_element key: (literal_element (identifier) @ignore))))
  (#match? @ignore "^[A-Z]"))

; Definitions.
(type_spec name: (type_identifier) @class)
(type_alias name: (type_identifier) @class)
(type_parameter_declaration name: (identifier) @type)
; The type parameters of a method are named anew in its receiver.
(method_declaration
  receiver: (parameter_list
    (parameter_declaration
      type: [
        (generic_type type_arguments: (type_arguments (type_elem . (type_identifier) @type .)))
        (pointer_type (generic_type type_arguments: (type_arguments (type_elem . (type_identifier) @type .))))])))

(function_declaration name: (identifier) @function.plain)
(method_declaration name: (field_identifier) @function.member)
(method_elem name: (field_identifier) @function.member)

(parameter_declaration name: (identifier) @parameter)
(variadic_parameter_declaration name: (identifier) @parameter)

(const_spec name: (identifier) @variable)
(var_spec name: (identifier) @variable)
(short_var_declaration left: (expression_list (identifier) @variable))
(range_clause left: (expression_list (identifier) @variable))
(receive_statement left: (expression_list (identifier) @variable))
(type_switch_statement alias: (expression_list (identifier) @variable))
(label_name) @variable

(field_declaration name: (field_identifier) @attribute.member)

; Names of other packages.
(qualified_type) @ignore
(import_declaration) @ignore
(import_spec name: (package_identifier) @import)
(import_spec !name path: (_) @import)

(function_declaration) @scope
(method_declaration) @scope
(func_literal) @scope
