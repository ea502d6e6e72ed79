; Functions of C#. What the captures mean is told in definitions.py.
; Constructors are not among them: their names can not be told from those of methods. Nor are properties and operators.

(method_declaration name: (identifier) @name body: [(block) @body (arrow_expression_clause (_) @body)]) @function
(local_function_statement name: (identifier) @name body: [(block) @body (arrow_expression_clause (_) @body)]) @function

(lambda_expression body: (block)) @closure
(anonymous_method_expression) @closure
(return_statement) @return
(comment) @comment
