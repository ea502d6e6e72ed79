; Functions of Go. What the captures mean is told in definitions.py.

(function_declaration name: (identifier) @name body: (block) @body) @function
(method_declaration name: (field_identifier) @name body: (block) @body) @function
; Bound to a variable of the package: var f = func() …
(source_file
  (var_declaration
    (var_spec name: (identifier) @name value: (expression_list . (func_literal body: (block) @body) .))) @function)

(func_literal body: (block)) @closure
(return_statement) @return
(comment) @comment
