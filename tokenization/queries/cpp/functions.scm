; Functions of C++, beside those of C (queries/c). What the captures mean is told in functions.py.
; Without a type are constructors, destructors, conversions and the tests of some libraries: they are not among them, nor
; are operators.

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

; Templates, also of members of templates.
(template_declaration (function_definition body: (_) @body)) @function
(template_declaration (template_declaration (function_definition body: (_) @body))) @function
(linkage_specification (function_definition body: (_) @body)) @function

(lambda_expression) @closure
