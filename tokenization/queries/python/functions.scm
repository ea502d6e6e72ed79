; Functions of Python. What the captures mean is told in functions.py.

(function_definition name: (identifier) @name body: (block) @body) @function
(decorated_definition definition: (function_definition name: (identifier) @name body: (block) @body)) @function

(function_definition
  body: (block . (expression_statement [(string) (concatenated_string)] @documentation)) @body)
(class_definition body: (block . (expression_statement [(string) (concatenated_string)] @documentation)))

(return_statement) @return
(comment) @comment
