; Names in PHP. What the captures mean is told in identifiers.py; of several captures of one node the strongest counts.
; A variable is captured with its dollar sign, which keeps $count apart from count(). Other names are captured where they
; stand in an expression, not wherever they occur: the name inside a variable is none of its own.

(variable_name) @use
(primary_expression/name) @use
(relative_name (name) @use)

; Uses that say how the name is used.
(function_call_expression function: (name) @use.call)
(function_call_expression function: (relative_name (name) @use.call))
(member_call_expression name: (name) @use.member.call)
(nullsafe_member_call_expression name: (name) @use.member.call)
(scoped_call_expression name: (name) @use.member.call)
(member_access_expression name: (name) @use.member)
(nullsafe_member_access_expression name: (name) @use.member)
(scoped_property_access_expression name: (variable_name) @use.member)
(class_constant_access_expression (_) (name) @use.member)

(named_type (name) @use.type)
(object_creation_expression (name) @use.type)
(base_clause (name) @use.type)
(class_interface_clause (name) @use.type)
(use_declaration (name) @use.type)
(use_instead_of_clause (_) (name) @use.type)
(use_instead_of_clause . (class_constant_access_expression (_) (name) @use.member.call))
(use_as_clause . (class_constant_access_expression (_) (name) @use.member.call))
(use_as_clause . (name) @use.member.call)
(attribute (name) @use.type)
(binary_expression operator: "instanceof" right: (name) @use.type)
(scoped_call_expression scope: (name) @use.type)
(scoped_property_access_expression scope: (name) @use.type)
(class_constant_access_expression . (name) @use.type)

; Definitions.
(class_declaration name: (name) @class)
(interface_declaration name: (name) @class)
(trait_declaration name: (name) @class)
(enum_declaration name: (name) @class)

(function_definition name: (name) @function.plain)
(method_declaration name: (name) @function.member)
(use_as_clause (_) (name) @function.member .)

(simple_parameter name: (variable_name) @parameter)
(variadic_parameter name: (variable_name) @parameter)
(catch_clause name: (variable_name) @parameter)

(assignment_expression left: (variable_name) @variable)
(augmented_assignment_expression left: (variable_name) @variable)
(reference_assignment_expression left: (variable_name) @variable)
(list_literal [(variable_name) @variable (by_ref (variable_name) @variable)])
(foreach_statement (_) [(variable_name) @variable (by_ref (variable_name) @variable)])
(foreach_statement (pair [(variable_name) @variable (by_ref (variable_name) @variable)]))
(static_variable_declaration name: (variable_name) @variable)
(global_declaration (variable_name) @variable)
(const_element . (name) @variable)
(named_label_statement (name) @variable)
(goto_statement (name) @variable)

(declaration_list (const_declaration (const_element . (name) @attribute.member)))
(enum_declaration_list (const_declaration (const_element . (name) @attribute.member)))
(enum_case name: (name) @attribute.member)
(property_element name: (variable_name) @attribute.member)
; A parameter of the constructor that is a property as well.
(property_promotion_parameter name: (variable_name) @attribute)

; The name of an argument.
(argument name: (name) @keyword)
(arguments) @arguments

; What looks like a name: $this, the class of X::class, the key in "$array[key]".
((variable_name) @ignore (#eq? @ignore "$this"))
((class_constant_access_expression (_) (name) @ignore) (#any-of? @ignore "class" "CLASS"))
(encapsed_string (subscript_expression (_) (name) @ignore))
(heredoc_body (subscript_expression (_) (name) @ignore))

; Names of other namespaces, also what is reached through them. A name with a backslash is always taken for one.
(namespace_definition name: (_) @ignore)
(namespace_use_declaration) @ignore
(qualified_name) @ignore
(scoped_call_expression scope: (qualified_name) name: (_) @ignore)
(scoped_property_access_expression scope: (qualified_name) name: (_) @ignore)
(class_constant_access_expression (qualified_name) (name) @ignore)
(namespace_use_clause [(name) (qualified_name)] @import !alias)
(namespace_use_clause alias: (name) @import)

(function_definition) @scope
(method_declaration) @scope
(anonymous_function) @scope
(arrow_function) @scope
