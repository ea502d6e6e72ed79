; Functions of Python. What the captures mean is told in definitions.py.

(function_definition name: (identifier) @name body: (block) @body) @function
(decorated_definition definition: (function_definition name: (identifier) @name body: (block) @body)) @function

; A docstring is the first statement, if it is text only, whatever parentheses are around it: neither bytes nor with
; anything interpolated or computed. That is what CPython takes for `__doc__`.
((function_definition
  body: (block . (expression_statement
    [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))
      (parenthesized_expression [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))
      (parenthesized_expression [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))
      (parenthesized_expression [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))
      (parenthesized_expression [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))])])])])] @documentation)) @body)
  (#match? @_open "^[rRuU]?[\"']"))
((class_definition
  body: (block . (expression_statement
    [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))
      (parenthesized_expression [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))
      (parenthesized_expression [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))])])] @documentation)))
  (#match? @_open "^[rRuU]?[\"']"))
; The first string tells nothing of the others: "a" f"{b}". Behind a comma it is a tuple.
((block . (expression_statement
    [(concatenated_string (string . (string_start) @_open))
      (parenthesized_expression [(concatenated_string (string . (string_start) @_open))
      (parenthesized_expression [(concatenated_string (string . (string_start) @_open))
      (parenthesized_expression [(concatenated_string (string . (string_start) @_open))
      (parenthesized_expression [(concatenated_string (string . (string_start) @_open))])])])])] @undocumented))
  (#not-match? @_open "^[rRuU]?[\"']"))
(block . (expression_statement . (_) @undocumented . ","))
(function_definition
  body: (block . (expression_statement [(string) (concatenated_string) (parenthesized_expression)]) . ";" @documentation))

(return_statement) @return
(comment) @comment
