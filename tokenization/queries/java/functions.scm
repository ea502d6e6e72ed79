; Functions of Java. What the captures mean is told in definitions.py.

(method_declaration name: (identifier) @name body: (block) @body) @function
(constructor_declaration name: (identifier) @name body: (constructor_body) @body) @function
(compact_constructor_declaration name: (identifier) @name body: (block) @body) @function

(lambda_expression body: (block)) @closure
(return_statement) @return

(line_comment) @comment
(block_comment) @comment
