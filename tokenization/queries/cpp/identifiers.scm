; Names in C++, beside those of C (queries/c). What the captures mean is told in identifiers.py; of several captures of
; one node the strongest counts. A member of the class around is reached by its plain name, too.

(namespace_identifier) @use.type
(qualified_identifier name: (identifier) @use.member)

; Uses that say how the name is used.
(template_function name: (identifier) @use.call)
(template_method name: (field_identifier) @use.member.call)
(call_expression function: (qualified_identifier name: (identifier) @use.member.call))
(call_expression function: (qualified_identifier name: (qualified_identifier name: (identifier) @use.member.call)))
(qualified_identifier name: (template_function name: (identifier) @use.member.call))
(field_initializer (field_identifier) @use.member)
(using_declaration (identifier) @use.type)
(class_specifier name: (type_identifier) @use.tag)

; Definitions.
(class_specifier
  name: [
    (type_identifier) @class
    (template_type name: (type_identifier) @class)
    (qualified_identifier name: (type_identifier) @class)]
  body: (_))
(struct_specifier
  name: [(template_type name: (type_identifier) @class) (qualified_identifier name: (type_identifier) @class)]
  body: (_))
(namespace_definition name: (namespace_identifier) @class)
(namespace_definition name: (nested_namespace_specifier (namespace_identifier) @class))
(namespace_definition name: (nested_namespace_specifier (nested_namespace_specifier (namespace_identifier) @class)))
(alias_declaration name: (type_identifier) @class)
(concept_definition name: (identifier) @class)
(type_parameter_declaration (type_identifier) @type)
(optional_type_parameter_declaration name: (type_identifier) @type)
(variadic_type_parameter_declaration (type_identifier) @type)

; Methods; a constructor has no type before its name, which is that of its class.
(function_declarator declarator: (field_identifier) @function)
(function_declarator
  declarator: (qualified_identifier name: [
    (identifier) @function
    (qualified_identifier name: [(identifier) @function (qualified_identifier name: (identifier) @function)])]))
(function_definition declarator: (reference_declarator (function_declarator declarator: (identifier) @function)))
(declaration declarator: (reference_declarator (function_declarator declarator: (identifier) @function)))
(field_declaration_list
  (template_declaration [
    (function_definition declarator: [
      (function_declarator declarator: (identifier) @function)
      (_ declarator: (function_declarator declarator: (identifier) @function))])
    (declaration declarator: [
      (function_declarator declarator: (identifier) @function)
      (_ declarator: (function_declarator declarator: (identifier) @function))])]))
(template_declaration (declaration declarator: (function_declarator declarator: (identifier) @function)))
(friend_declaration (declaration declarator: (function_declarator declarator: (identifier) @function)))
(function_definition
  !type
  declarator: (function_declarator
    declarator: [
      (identifier) @class
      (qualified_identifier name: [
        (identifier) @class
        (qualified_identifier name: [(identifier) @class (qualified_identifier name: (identifier) @class)])])]))
(declaration !type declarator: (function_declarator declarator: (identifier) @class))
(destructor_name (identifier) @class)

(parameter_declaration declarator: (reference_declarator (identifier) @parameter))
(parameter_declaration declarator: (reference_declarator (_ declarator: (identifier) @parameter)))
(parameter_declaration declarator: (_ declarator: (reference_declarator (identifier) @parameter)))
(optional_parameter_declaration declarator: [
  (identifier) @parameter
  (_ declarator: (identifier) @parameter)
  (reference_declarator (identifier) @parameter)])
(variadic_parameter_declaration declarator: [
  (variadic_declarator (identifier) @parameter)
  (_ (variadic_declarator (identifier) @parameter))])

(reference_declarator (identifier) @variable)
(structured_binding_declarator (identifier) @variable)
(for_range_loop declarator: (identifier) @variable)
(lambda_capture_initializer left: (identifier) @variable)

(enumerator name: (identifier) @attribute)
(declaration declarator: (init_declarator declarator: (qualified_identifier name: (identifier) @attribute)))
(field_declaration declarator: (field_identifier) @attribute)
(field_declaration declarator: (_ declarator: (field_identifier) @attribute))
(field_declaration declarator: (_ declarator: (_ declarator: (field_identifier) @attribute)))
(field_declaration declarator: (reference_declarator (field_identifier) @attribute))

; Names of the standard library, and of an alias of another namespace.
((using_declaration (qualified_identifier scope: (namespace_identifier) @namespace name: (identifier) @import))
  (#eq? @namespace "std"))
((using_declaration
  (qualified_identifier
    scope: (namespace_identifier) @namespace
    name: (qualified_identifier name: (identifier) @import)))
  (#eq? @namespace "std"))
(namespace_alias_definition name: (namespace_identifier) @import)

(lambda_expression) @scope
(parameter_declaration declarator: (reference_declarator (function_declarator parameters: (_) @scope)))
(field_declaration declarator: (reference_declarator (function_declarator parameters: (_) @scope)))
(declaration declarator: (reference_declarator (function_declarator parameters: (_) @scope)))
