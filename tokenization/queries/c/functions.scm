; Functions of C. What the captures mean is told in definitions.py. A prototype has no body: it is none.

(function_definition type: (_) declarator: (function_declarator declarator: (identifier) @name) body: (_) @body) @function
; Behind one or several stars, in parentheses, and one that gives back a pointer to a function.
(function_definition
  type: (_)
  declarator: (_ declarator: (function_declarator declarator: (identifier) @name))
  body: (_) @body) @function
(function_definition
  type: (_)
  declarator: (_ declarator: (_ declarator: (function_declarator declarator: (identifier) @name)))
  body: (_) @body) @function
(function_definition
  type: (_)
  declarator: (function_declarator declarator: (parenthesized_declarator (identifier) @name))
  body: (_) @body) @function
(function_definition
  type: (_)
  declarator: (function_declarator
    declarator: (parenthesized_declarator
      (pointer_declarator declarator: (function_declarator declarator: (identifier) @name))))
  body: (_) @body) @function
; Behind the arguments of a macro: PyObject * EXPORT(x) f(void)
(function_definition
  type: (_)
  declarator: (function_declarator (call_expression function: (identifier) @name))
  body: (_) @body) @function
(function_definition
  type: (_)
  declarator: (_ declarator: (function_declarator (call_expression function: (identifier) @name)))
  body: (_) @body) @function
; Made by a macro: PHP_FUNCTION(name) { … }. In a body it is a loop: for_each_cpu(cpu) { … }
(translation_unit
  (function_definition type: (_) declarator: (parenthesized_declarator (identifier) @name) body: (_) @body) @function)
(translation_unit
  (_ (function_definition type: (_) declarator: (parenthesized_declarator (identifier) @name) body: (_) @body) @function))
(declaration_list
  (function_definition type: (_) declarator: (parenthesized_declarator (identifier) @name) body: (_) @body) @function)
; Made by a macro of several arguments, which is read as a call before a block. The name is the first of them, or the
; second where the first is a class: PHP_METHOD(class, name) { … }, TEST_F(fixture, name) { … }
(translation_unit
  (expression_statement
    (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) @name . _ (_)))
    (MISSING ";")) @function
  .
  (compound_statement) @body @function
  (#match? @_macro "^[A-Z][A-Z0-9_]+$")
  (#not-match? @_macro "TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO"))
(declaration_list
  (expression_statement
    (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) @name . _ (_)))
    (MISSING ";")) @function
  .
  (compound_statement) @body @function
  (#match? @_macro "^[A-Z][A-Z0-9_]+$")
  (#not-match? @_macro "TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO"))
(translation_unit (preproc_ifdef
  (expression_statement
    (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) @name . _ (_)))
    (MISSING ";")) @function
  .
  (compound_statement) @body @function)
  (#match? @_macro "^[A-Z][A-Z0-9_]+$")
  (#not-match? @_macro "TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO"))
(translation_unit (preproc_if
  (expression_statement
    (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) @name . _ (_)))
    (MISSING ";")) @function
  .
  (compound_statement) @body @function)
  (#match? @_macro "^[A-Z][A-Z0-9_]+$")
  (#not-match? @_macro "TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO"))
(translation_unit
  (expression_statement
    [
      (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) . (identifier) @name))
      (call_expression
        function: (call_expression
          function: (identifier) @_macro
          arguments: (argument_list . (identifier) . (identifier) @name)))
    ]
    (MISSING ";")) @function
  .
  (compound_statement) @body @function
  (#match? @_macro "^([A-Z][A-Z0-9]*_)*(TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO)"))
(declaration_list
  (expression_statement
    [
      (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) . (identifier) @name))
      (call_expression
        function: (call_expression
          function: (identifier) @_macro
          arguments: (argument_list . (identifier) . (identifier) @name)))
    ]
    (MISSING ";")) @function
  .
  (compound_statement) @body @function
  (#match? @_macro "^([A-Z][A-Z0-9]*_)*(TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO)"))
(translation_unit (preproc_ifdef
  (expression_statement
    [
      (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) . (identifier) @name))
      (call_expression
        function: (call_expression
          function: (identifier) @_macro
          arguments: (argument_list . (identifier) . (identifier) @name)))
    ]
    (MISSING ";")) @function
  .
  (compound_statement) @body @function)
  (#match? @_macro "^([A-Z][A-Z0-9]*_)*(TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO)"))
(translation_unit (preproc_if
  (expression_statement
    [
      (call_expression function: (identifier) @_macro arguments: (argument_list . (identifier) . (identifier) @name))
      (call_expression
        function: (call_expression
          function: (identifier) @_macro
          arguments: (argument_list . (identifier) . (identifier) @name)))
    ]
    (MISSING ";")) @function
  .
  (compound_statement) @body @function)
  (#match? @_macro "^([A-Z][A-Z0-9]*_)*(TEST|METHOD|BENCHMARK_(DEFINE_)?F|SCENARIO)"))
; static PHP_FUNCTION(class, name) { … }
(function_definition
  type: (_ type: (type_descriptor type: (type_identifier) @name))
  declarator: (MISSING identifier)
  body: (_) @body) @function

; A macro in front of a type is read as a declaration without its end: API struct box *f(void) { … }
(declaration (MISSING ";")) @annotation

(return_statement) @return
(comment) @comment
