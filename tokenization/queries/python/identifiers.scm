; Names in Python. What the captures mean is told in identifiers.py; of several captures of one node the strongest counts.

(identifier) @use

; Uses that say how the name is used.
(call function: (identifier) @use.call)
(attribute attribute: (identifier) @use.member)
(call function: (attribute attribute: (identifier) @use.member.call))
(type (identifier) @use.type)
(type (generic_type (identifier) @use.type))
(class_definition superclasses: (argument_list (identifier) @use.type))
(class_definition superclasses: (argument_list (keyword_argument value: (identifier) @use.type)))
(class_pattern (dotted_name . (identifier) @use.type .))
(case_pattern (dotted_name (identifier) (identifier) @use.member))

; Definitions.
(class_definition name: (identifier) @class)
(function_definition name: (identifier) @function.plain)
(class_definition body: (block (function_definition name: (identifier) @function.member)))
(class_definition body: (block (decorated_definition (function_definition name: (identifier) @function.member))))
(class_definition type_parameters: (type_parameter (type (identifier) @type)))
(function_definition type_parameters: (type_parameter (type (identifier) @type)))
(_ type_parameters: (type_parameter (type (constrained_type . (type (identifier) @type)))))
(_ type_parameters: (type_parameter (type (splat_type (identifier) @type))))
(type_alias_statement left: (type (identifier) @class))
(type_alias_statement left: (type (generic_type (identifier) @class)))
(type_alias_statement left: (type (generic_type (type_parameter (type (identifier) @type)))))

(parameters (identifier) @parameter)
(parameters (list_splat_pattern (identifier) @parameter))
(parameters (dictionary_splat_pattern (identifier) @parameter))
(typed_parameter . (identifier) @parameter)
(typed_parameter . (list_splat_pattern (identifier) @parameter))
(typed_parameter . (dictionary_splat_pattern (identifier) @parameter))
(default_parameter name: (identifier) @parameter)
(typed_default_parameter name: (identifier) @parameter)
(lambda_parameters (identifier) @parameter)
(lambda_parameters (list_splat_pattern (identifier) @parameter))
(lambda_parameters (dictionary_splat_pattern (identifier) @parameter))

(assignment left: (identifier) @variable)
(augmented_assignment left: (identifier) @variable)
(named_expression name: (identifier) @variable)
(for_statement left: (identifier) @variable)
(for_in_clause left: (identifier) @variable)
(as_pattern_target (identifier) @variable)
(as_pattern_target (tuple (identifier) @variable))
(as_pattern_target (list (identifier) @variable))
(pattern_list (identifier) @variable)
(tuple_pattern (identifier) @variable)
(list_pattern (identifier) @variable)
(list_splat_pattern (identifier) @variable)
(global_statement (identifier) @variable)
(nonlocal_statement (identifier) @variable)
(case_pattern (dotted_name . (identifier) @variable .))
(case_pattern (as_pattern (identifier) @variable))
(splat_pattern (identifier) @variable)

(assignment left: (attribute attribute: (identifier) @attribute.member))
(assignment left: (pattern_list (attribute attribute: (identifier) @attribute.member)))
(assignment left: (tuple_pattern (attribute attribute: (identifier) @attribute.member)))
(class_definition body: (block (expression_statement (assignment left: (identifier) @attribute.member))))
(class_definition body: (block (expression_statement (assignment left: (pattern_list (identifier) @attribute.member)))))

; A keyword names a parameter of what is called.
((argument_list (keyword_argument name: (identifier) @keyword)) @arguments)
(keyword_pattern . (identifier) @use.member)

; Names of other modules.
[(import_statement) (import_from_statement) (future_import_statement)] @ignore
(import_statement name: (dotted_name . (identifier) @import))
(import_from_statement name: (dotted_name (identifier) @import))
(aliased_import alias: (identifier) @import)

(function_definition) @scope
(lambda) @scope
