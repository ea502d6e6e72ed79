; Functions of C. What the captures mean is told in functions.py. A prototype has no body: it is none.

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
; Made by a macro: PHP_FUNCTION(name) { … }. In a body it is a loop: for_each_cpu(cpu) { … }
(translation_unit
  (function_definition type: (_) declarator: (parenthesized_declarator (identifier) @name) body: (_) @body) @function)
(declaration_list
  (function_definition type: (_) declarator: (parenthesized_declarator (identifier) @name) body: (_) @body) @function)

; A macro in front of a type is read as a declaration without its end: API struct box *f(void) { … }
(declaration (MISSING ";")) @annotation

(return_statement) @return
(comment) @comment
