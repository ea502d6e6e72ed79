; Functions of C++, beside those of C (queries/c). What the captures mean is told in definitions.py.
; Without a type are constructors, destructors and conversions: they are not among them, nor are operators.

; Methods in their class, and behind its name.
(function_definition
  type: (_)
  declarator: (function_declarator declarator: (field_identifier) @name)
  body: (_) @body) @function
(function_definition
  type: (_)
  declarator: (_ declarator: (function_declarator declarator: (field_identifier) @name))
  body: (_) @body) @function
(function_definition
  type: (_)
  declarator: (function_declarator
    declarator: (qualified_identifier name: [
      (identifier) @name
      (qualified_identifier name: [(identifier) @name (qualified_identifier name: (identifier) @name)])]))
  body: (_) @body) @function
(function_definition
  type: (_)
  declarator: (_
    declarator: (function_declarator
      declarator: (qualified_identifier name: [
        (identifier) @name
        (qualified_identifier name: [(identifier) @name (qualified_identifier name: (identifier) @name)])])))
  body: (_) @body) @function

; Those that give back a reference.
(function_definition
  type: (_)
  declarator: (reference_declarator
    (function_declarator declarator: [
      (identifier) @name
      (field_identifier) @name
      (qualified_identifier name: [
        (identifier) @name
        (qualified_identifier name: [(identifier) @name (qualified_identifier name: (identifier) @name)])])]))
  body: (_) @body) @function

; Made by a macro, which is read as a function without a type; see queries/c.
(translation_unit
  (function_definition
    !type
    declarator: (function_declarator
      declarator: (identifier) @_macro
      parameters: (parameter_list . (parameter_declaration type: (type_identifier) @name !declarator)))
    body: (_) @body) @function
  (#match? @_macro "^([A-Z][A-Z0-9]*_[A-Z0-9_]+|BENCHMARK)$")
  (#not-match? @_macro "TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO"))
(declaration_list
  (function_definition
    !type
    declarator: (function_declarator
      declarator: (identifier) @_macro
      parameters: (parameter_list . (parameter_declaration type: (type_identifier) @name !declarator)))
    body: (_) @body) @function
  (#match? @_macro "^([A-Z][A-Z0-9]*_[A-Z0-9_]+|BENCHMARK)$")
  (#not-match? @_macro "TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO"))
(translation_unit
  (_ (function_definition
    !type
    declarator: (function_declarator
      declarator: (identifier) @_macro
      parameters: (parameter_list . (parameter_declaration type: (type_identifier) @name !declarator)))
    body: (_) @body) @function)
  (#match? @_macro "^([A-Z][A-Z0-9]*_[A-Z0-9_]+|BENCHMARK)$")
  (#not-match? @_macro "TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO"))
(translation_unit
  (function_definition
    !type
    declarator: [
      (function_declarator
        declarator: (identifier) @_macro
        parameters: (parameter_list
          . (parameter_declaration type: (type_identifier) !declarator)
          . (parameter_declaration type: (type_identifier) @name !declarator)))
      (function_declarator
        declarator: (function_declarator
          declarator: (identifier) @_macro
          parameters: (parameter_list
            . (parameter_declaration type: (type_identifier) !declarator)
            . (parameter_declaration type: (type_identifier) @name !declarator))))
      (function_declarator
        declarator: (identifier) @_macro
        parameters: (parameter_list . (parameter_declaration type: (type_identifier) @name !declarator) .))
    ]
    body: (_) @body) @function
  (#match? @_macro "^([A-Z][A-Z0-9]*_)*(TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO)"))
(declaration_list
  (function_definition
    !type
    declarator: [
      (function_declarator
        declarator: (identifier) @_macro
        parameters: (parameter_list
          . (parameter_declaration type: (type_identifier) !declarator)
          . (parameter_declaration type: (type_identifier) @name !declarator)))
      (function_declarator
        declarator: (function_declarator
          declarator: (identifier) @_macro
          parameters: (parameter_list
            . (parameter_declaration type: (type_identifier) !declarator)
            . (parameter_declaration type: (type_identifier) @name !declarator))))
      (function_declarator
        declarator: (identifier) @_macro
        parameters: (parameter_list . (parameter_declaration type: (type_identifier) @name !declarator) .))
    ]
    body: (_) @body) @function
  (#match? @_macro "^([A-Z][A-Z0-9]*_)*(TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO)"))
(translation_unit
  (_ (function_definition
    !type
    declarator: [
      (function_declarator
        declarator: (identifier) @_macro
        parameters: (parameter_list
          . (parameter_declaration type: (type_identifier) !declarator)
          . (parameter_declaration type: (type_identifier) @name !declarator)))
      (function_declarator
        declarator: (function_declarator
          declarator: (identifier) @_macro
          parameters: (parameter_list
            . (parameter_declaration type: (type_identifier) !declarator)
            . (parameter_declaration type: (type_identifier) @name !declarator))))
      (function_declarator
        declarator: (identifier) @_macro
        parameters: (parameter_list . (parameter_declaration type: (type_identifier) @name !declarator) .))
    ]
    body: (_) @body) @function)
  (#match? @_macro "^([A-Z][A-Z0-9]*_)*(TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO)"))

; Templates, also of members of templates.
(template_declaration (function_definition body: (_) @body)) @function
(template_declaration (template_declaration (function_definition body: (_) @body))) @function
(linkage_specification (function_definition body: (_) @body)) @function

(lambda_expression) @closure
