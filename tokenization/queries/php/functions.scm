; Functions of PHP. What the captures mean is told in definitions.py.

(function_definition name: (name) @name body: (compound_statement) @body) @function
(method_declaration name: (name) @name body: (compound_statement) @body) @function
; Bound to a variable: $f = function () …, $f = fn () => …
(expression_statement
  (assignment_expression
    left: [
      (variable_name) @name
      (member_access_expression name: (name) @name)
      (scoped_property_access_expression name: (variable_name) @name)]
    right: [
      (anonymous_function body: (compound_statement) @body)
      (arrow_function body: (_) @body)])) @function

(anonymous_function body: (compound_statement)) @closure
(arrow_function body: (_)) @closure
(return_statement) @return
(comment) @comment
