; Functions of Python. What the captures mean is told in functions.py.

(function_definition name: (identifier) @name body: (block) @body) @function
(decorated_definition definition: (function_definition name: (identifier) @name body: (block) @body)) @function

; A docstring is the first statement, text only: neither bytes nor with anything interpolated.
((function_definition
  body: (block . (expression_statement
    [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))] @documentation)) @body)
  (#match? @_open "^[rRuU]*[\"']"))
((class_definition
  body: (block . (expression_statement
    [(string . (string_start) @_open) (concatenated_string . (string . (string_start) @_open))] @documentation)))
  (#match? @_open "^[rRuU]*[\"']"))
(function_definition body: (block . (expression_statement [(string) (concatenated_string)]) . ";" @documentation))

(return_statement) @return
(comment) @comment
