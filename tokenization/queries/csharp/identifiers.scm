; Names in C#. What the captures mean is told in identifiers.py; of several captures of one node the strongest counts.
; A member of the class around is reached by its plain name: fields, properties, events and methods are defined as both.

(identifier) @use
(implicit_parameter) @parameter

; Uses that say how the name is used.
(invocation_expression function: (identifier) @use.call)
(invocation_expression function: (generic_name (identifier) @use.call))
(member_access_expression name: (identifier) @use.member)
(member_access_expression name: (generic_name (identifier) @use.member))
(member_binding_expression name: (identifier) @use.member)
(member_binding_expression name: (generic_name (identifier) @use.member))
(invocation_expression function: (member_access_expression name: (identifier) @use.member.call))
(invocation_expression function: (member_access_expression name: (generic_name (identifier) @use.member.call)))
(invocation_expression function: (member_binding_expression name: (identifier) @use.member.call))
(invocation_expression function: (member_binding_expression name: (generic_name (identifier) @use.member.call)))
(invocation_expression
  function: (conditional_access_expression (member_binding_expression name: (identifier) @use.member.call)))
(invocation_expression
  function: (conditional_access_expression
    (member_binding_expression name: (generic_name (identifier) @use.member.call))))
; What an initializer or a pattern names is a member of the object; an anonymous object defines it.
(object_creation_expression
  initializer: (initializer_expression (assignment_expression left: (identifier) @use.member)))
(implicit_object_creation_expression
  (initializer_expression (assignment_expression left: (identifier) @use.member)))
(assignment_expression
  right: (initializer_expression (assignment_expression left: (identifier) @use.member)))
(with_initializer . (identifier) @use.member)
(property_pattern_clause (subpattern . (identifier) @use.member))

; Types.
(_ type: (identifier) @use.type)
(_ returns: (identifier) @use.type)
(generic_name (identifier) @use.type)
(qualified_name name: (identifier) @use.type)
(alias_qualified_name name: (identifier) @use.type)
(type_argument_list (identifier) @use.type)
(base_list (identifier) @use.type)
(type_parameter_constraints_clause (identifier) @use.type)
(explicit_interface_specifier (identifier) @use.type)
(attribute name: (identifier) @use.type)
(as_expression right: (identifier) @use.type)
(is_expression right: (identifier) @use.type)
(is_pattern_expression pattern: (constant_pattern (identifier) @use.type))
(is_pattern_expression pattern: (negated_pattern (constant_pattern (identifier) @use.type)))
; By convention a class, where it is not defined here: `Guard.NotNull(x)`.
((member_access_expression expression: (identifier) @use.type) (#match? @use.type "^[A-Z]\\w*[a-z]"))

; Definitions.
(class_declaration name: (identifier) @class)
(struct_declaration name: (identifier) @class)
(record_declaration name: (identifier) @class)
(interface_declaration name: (identifier) @class)
(enum_declaration name: (identifier) @class)
(delegate_declaration name: (identifier) @class)
(constructor_declaration name: (identifier) @class)
(destructor_declaration name: (identifier) @class)
(type_parameter name: (identifier) @type)

(method_declaration name: (identifier) @function)
(local_function_statement name: (identifier) @function.plain)

(parameter name: (identifier) @parameter)
(parameter_list name: (identifier) @parameter)
(bracketed_parameter_list name: (identifier) @parameter)
(catch_declaration name: (identifier) @parameter)

(local_declaration_statement (variable_declaration (variable_declarator name: (identifier) @variable)))
(for_statement initializer: (variable_declaration (variable_declarator name: (identifier) @variable)))
(using_statement (variable_declaration (variable_declarator name: (identifier) @variable)))
(fixed_statement (variable_declaration (variable_declarator name: (identifier) @variable)))
(tuple_pattern (identifier) @variable)
(foreach_statement left: (identifier) @variable)
(declaration_expression name: (identifier) @variable)
(declaration_pattern name: (identifier) @variable)
(recursive_pattern name: (identifier) @variable)
(var_pattern (identifier) @variable)
(list_pattern name: (identifier) @variable)
(from_clause name: (identifier) @variable)
(join_clause . (identifier) @variable)
(join_into_clause (identifier) @variable)
(let_clause . (identifier) @variable)
(query_expression (identifier) @variable)
(labeled_statement . (identifier) @variable)

(field_declaration (variable_declaration (variable_declarator name: (identifier) @attribute)))
(event_field_declaration (variable_declaration (variable_declarator name: (identifier) @attribute)))
(property_declaration name: (identifier) @attribute)
(event_declaration name: (identifier) @attribute)
(enum_member_declaration name: (identifier) @attribute)
(record_declaration (parameter_list (parameter name: (identifier) @attribute)))
(tuple_element name: (identifier) @attribute.member)
(tuple_expression (argument name: (identifier) @attribute.member))
(anonymous_object_creation_expression (identifier) @attribute.member . "=")

; The name of an argument, and of an attribute's property.
((argument_list (argument name: (identifier) @keyword)) @arguments)
((attribute_argument_list (attribute_argument name: (identifier) @keyword)) @arguments)

; What is no name of this file: namespaces, conditions of the preprocessor. A namespace's first word is
; taken for an import, so that what is reached through it is none either.
(using_directive) @ignore
(extern_alias_directive) @ignore
(namespace_declaration name: (_) @ignore)
(file_scoped_namespace_declaration name: (_) @ignore)
(using_directive . (identifier) @import .)
(using_directive name: (identifier) @import)
(extern_alias_directive name: (identifier) @import)
(using_directive (qualified_name qualifier: (identifier) @import))
(using_directive (qualified_name qualifier: (qualified_name qualifier: (identifier) @import)))
(using_directive (qualified_name qualifier: (qualified_name qualifier: (qualified_name qualifier: (identifier) @import))))
(namespace_declaration name: (identifier) @import)
(namespace_declaration name: (qualified_name qualifier: (identifier) @import))
(namespace_declaration name: (qualified_name qualifier: (qualified_name qualifier: (identifier) @import)))
(file_scoped_namespace_declaration name: (identifier) @import)
(file_scoped_namespace_declaration name: (qualified_name qualifier: (identifier) @import))
(file_scoped_namespace_declaration
  name: (qualified_name qualifier: (qualified_name qualifier: (identifier) @import)))
(preproc_if condition: (_) @ignore)
(preproc_elif condition: (_) @ignore)
(preproc_if_in_attribute_list condition: (_) @ignore)
[(preproc_define) (preproc_undef) (preproc_pragma)] @ignore
((alias_qualified_name alias: (identifier) @ignore) (#eq? @ignore "global"))

[
  (method_declaration)
  (constructor_declaration)
  (local_function_statement)
  (operator_declaration)
  (conversion_operator_declaration)
  (indexer_declaration)
  (accessor_declaration)
  (lambda_expression)
  (anonymous_method_expression)
] @scope
