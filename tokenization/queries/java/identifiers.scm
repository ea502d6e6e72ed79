; Names in Java. What the captures mean is told in identifiers.py; of several captures of one node the strongest counts.

(identifier) @use
(type_identifier) @use.type

; Uses that say how the name is used. A method called without an object is a member of `this`.
(method_invocation name: (identifier) @use.member.call)
(field_access field: (identifier) @use.member)
(method_reference (_) (identifier) @use.member.call)
(scoped_type_identifier (_) (type_identifier) @use.member)
(marker_annotation name: (identifier) @use.type)
(annotation name: (identifier) @use.type)
(marker_annotation name: (scoped_identifier name: (identifier) @use.member))
(annotation name: (scoped_identifier name: (identifier) @use.member))
(record_pattern . (identifier) @use.type)
; By convention a class, where it is not defined here: `Strings.join(x)`, `Level.HIGH`, `Strings::join`.
((method_invocation object: (identifier) @use.type) (#match? @use.type "^[A-Z]\\w*[a-z]"))
((field_access object: (identifier) @use.type) (#match? @use.type "^[A-Z]\\w*[a-z]"))
((method_reference . (identifier) @use.type) (#match? @use.type "^[A-Z]\\w*[a-z]"))

; Definitions.
(class_declaration name: (identifier) @class)
(interface_declaration name: (identifier) @class)
(enum_declaration name: (identifier) @class)
(record_declaration name: (identifier) @class)
(annotation_type_declaration name: (identifier) @class)
(constructor_declaration name: (identifier) @class)
(compact_constructor_declaration name: (identifier) @class)
(type_parameter (type_identifier) @type)

(method_declaration name: (identifier) @function.member)

(formal_parameter name: (identifier) @parameter)
(spread_parameter (variable_declarator name: (identifier) @parameter))
(catch_formal_parameter name: (identifier) @parameter)
(lambda_expression parameters: (identifier) @parameter)
(inferred_parameters (identifier) @parameter)

(local_variable_declaration declarator: (variable_declarator name: (identifier) @variable))
(enhanced_for_statement name: (identifier) @variable)
(resource name: (identifier) @variable)
(instanceof_expression name: (identifier) @variable)
(type_pattern (_) (identifier) @variable)
(record_pattern_component (_) (identifier) @variable)
(labeled_statement . (identifier) @variable)
(break_statement (identifier) @variable)
(continue_statement (identifier) @variable)

(field_declaration declarator: (variable_declarator name: (identifier) @attribute))
(constant_declaration declarator: (variable_declarator name: (identifier) @attribute))
(enum_constant name: (identifier) @attribute)
(annotation_type_element_declaration name: (identifier) @attribute)
(record_declaration parameters: (formal_parameters (formal_parameter name: (identifier) @attribute)))
(record_declaration
  parameters: (formal_parameters (spread_parameter (variable_declarator name: (identifier) @attribute))))

; The name of an annotation's element.
((annotation_argument_list (element_value_pair key: (identifier) @keyword)) @arguments)

; Names of other modules.
[(package_declaration) (import_declaration) (module_declaration)] @ignore
(import_declaration (scoped_identifier name: (identifier) @import) .)

(method_declaration) @scope
(constructor_declaration) @scope
(lambda_expression) @scope
