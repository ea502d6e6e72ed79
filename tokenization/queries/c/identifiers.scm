; Names in C. What the captures mean is told in identifiers.py; of several captures of one node the strongest counts.

(identifier) @use
(type_identifier) @use.type
(field_identifier) @use.member

; The grammar leaves the text of macros as it is.
(preproc_def value: (preproc_arg) @unparsed)
(preproc_function_def value: (preproc_arg) @unparsed)
((preproc_call directive: (preproc_directive) @directive argument: (preproc_arg) @unparsed)
  (#match? @directive "^#\\s*undef$"))

; Uses that say how the name is used.
(call_expression function: (identifier) @use.call)
(call_expression function: (field_expression field: (field_identifier) @use.member.call))
(compound_statement (function_definition type: (type_identifier) @use.call declarator: (parenthesized_declarator)))

(struct_specifier name: (type_identifier) @use.tag)
(union_specifier name: (type_identifier) @use.tag)
(enum_specifier name: (type_identifier) @use.tag)

; Definitions. A type's name stands in a declarator only where a typedef defines it.
(struct_specifier name: (type_identifier) @class body: (_))
(union_specifier name: (type_identifier) @class body: (_))
(enum_specifier name: (type_identifier) @class body: (_))
(type_definition declarator: (type_identifier) @class)
(_ declarator: (_ declarator: (type_identifier) @class))
(parenthesized_declarator (type_identifier) @class)
(parenthesized_declarator (pointer_declarator declarator: (type_identifier) @class))

; Functions and their prototypes, behind stars and in parentheses. A declaration in a body is one of a variable.
(function_definition declarator: (function_declarator declarator: (identifier) @function.plain))
(function_definition declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain)))
(function_definition
  declarator: (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain))))
(function_definition
  declarator: (function_declarator declarator: (parenthesized_declarator (identifier) @function.plain)))
(function_definition
  declarator: (function_declarator
    declarator: (parenthesized_declarator
      (pointer_declarator declarator: (function_declarator declarator: (identifier) @function.plain)))))
(translation_unit (function_definition declarator: (parenthesized_declarator (identifier) @function.plain)))
(declaration_list (function_definition declarator: (parenthesized_declarator (identifier) @function.plain)))
(translation_unit
  (declaration declarator: [
    (function_declarator declarator: (identifier) @function.plain)
    (_ declarator: (function_declarator declarator: (identifier) @function.plain))
    (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain)))]))
(declaration_list
  (declaration declarator: [
    (function_declarator declarator: (identifier) @function.plain)
    (_ declarator: (function_declarator declarator: (identifier) @function.plain))
    (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain)))]))
(linkage_specification
  (declaration declarator: [
    (function_declarator declarator: (identifier) @function.plain)
    (_ declarator: (function_declarator declarator: (identifier) @function.plain))
    (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain)))]))
(preproc_if
  (declaration declarator: [
    (function_declarator declarator: (identifier) @function.plain)
    (_ declarator: (function_declarator declarator: (identifier) @function.plain))
    (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain)))]))
(preproc_ifdef
  (declaration declarator: [
    (function_declarator declarator: (identifier) @function.plain)
    (_ declarator: (function_declarator declarator: (identifier) @function.plain))
    (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain)))]))
(preproc_elif
  (declaration declarator: [
    (function_declarator declarator: (identifier) @function.plain)
    (_ declarator: (function_declarator declarator: (identifier) @function.plain))
    (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain)))]))
(preproc_else
  (declaration declarator: [
    (function_declarator declarator: (identifier) @function.plain)
    (_ declarator: (function_declarator declarator: (identifier) @function.plain))
    (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @function.plain)))]))
(preproc_function_def name: (identifier) @function.plain)

(parameter_declaration declarator: (identifier) @parameter)
(parameter_declaration declarator: (_ declarator: (identifier) @parameter))
(parameter_declaration declarator: (_ declarator: (_ declarator: (identifier) @parameter)))
(parameter_declaration declarator: (_ declarator: (_ declarator: (_ declarator: (identifier) @parameter))))
(parameter_declaration
  declarator: (function_declarator declarator: (parenthesized_declarator (_ declarator: (identifier) @parameter))))
(parameter_declaration
  declarator: (_ declarator: (function_declarator
    declarator: (parenthesized_declarator (_ declarator: (identifier) @parameter)))))
; Declared in front of the body, before C had prototypes.
(function_definition (declaration declarator: (identifier) @parameter))
(function_definition (declaration declarator: (_ declarator: (identifier) @parameter)))
(function_definition (declaration declarator: (_ declarator: (_ declarator: (identifier) @parameter))))
(function_definition
  (declaration
    declarator: (function_declarator declarator: (parenthesized_declarator (_ declarator: (identifier) @parameter)))))
(preproc_params (identifier) @parameter)

(declaration declarator: (identifier) @variable)
(_ declarator: (_ declarator: (identifier) @variable))
(parenthesized_declarator [(identifier) @variable (_ declarator: (identifier) @variable)])
(enumerator name: (identifier) @variable)
(preproc_def name: (identifier) @variable)
(statement_identifier) @variable

(field_declaration declarator: (field_identifier) @attribute.member)
(_ declarator: (_ declarator: (field_identifier) @attribute.member))
(parenthesized_declarator [(field_identifier) @attribute.member (_ declarator: (field_identifier) @attribute.member)])

; Words of the compiler: attributes (their arguments may be names of this file), operands of an assembler text.
(attribute_specifier (argument_list [(identifier) @ignore (call_expression function: (identifier) @ignore)]))
(attribute [name: (_) @ignore prefix: (_) @ignore])
(ms_declspec_modifier (identifier) @ignore)
(gnu_asm_output_operand symbol: (_) @ignore)
(gnu_asm_input_operand symbol: (_) @ignore)

; The parameters of a prototype or of a pointer to a function are its own.
(function_definition) @scope
(preproc_function_def) @scope
(declaration declarator: (function_declarator parameters: (_) @scope))
(declaration declarator: (_ declarator: (function_declarator parameters: (_) @scope)))
(type_definition declarator: (function_declarator parameters: (_) @scope))
(field_declaration declarator: (function_declarator parameters: (_) @scope))
(field_declaration declarator: (_ declarator: (function_declarator parameters: (_) @scope)))
(parameter_declaration declarator: (function_declarator parameters: (_) @scope))
