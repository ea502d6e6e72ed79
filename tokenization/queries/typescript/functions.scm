; Functions that TypeScript writes in its own way; the others are in ecmascript/functions.scm.

(public_field_definition
  name: [(property_identifier) (private_property_identifier)] @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @function

((public_field_definition
  name: [(property_identifier) (private_property_identifier)] @name
  value: (call_expression function: [(identifier) (member_expression)] @_wrapper) @wrapped) @function
  (#match? @_wrapper "^(\\w+\\.)*(use(Callback|EffectEvent|Event\\w*|Debounce\\w*|Throttle\\w*)|memo\\w*|forwardRef|observer|lazy|debounce\\w*|throttle\\w*|once|curry\\w*|partial\\w*|promisify|callbackify|action|flow|task|thunk|inject|(async|catch|wrap|with|guard|protect|bind)\\w*|\\w+(Handler|Async|Thunk|Action|Middleware|Component|Hook|Callback|Resolver|Selector|Loader|Command|Procedure|Task|Flow|HOC|Hoc|Fn|Function)|assign|freeze)$"))
; f as T, f satisfies T, <T>f, f!
(public_field_definition
  name: [(property_identifier) (private_property_identifier)] @name
  value: [
    (as_expression) (satisfies_expression) (non_null_expression)
    (parenthesized_expression [(arrow_function) (function_expression)])] @wrapped) @function
(_
  . (variable_declarator
    name: (identifier) @name
    value: [(as_expression) (satisfies_expression) (non_null_expression)] @wrapped) .) @function
(export_statement
  declaration: (_
    . (variable_declarator
      value: [(as_expression) (satisfies_expression) (non_null_expression)] @wrapped) .)) @function
(export_statement
  "default" @name
  value: [(as_expression) (satisfies_expression) (non_null_expression)] @wrapped) @function
(expression_statement
  (assignment_expression
    left: [(identifier) @name (member_expression property: (_) @name)]
    right: [(as_expression) (satisfies_expression) (non_null_expression)] @wrapped)) @function
(pair
  key: [(property_identifier) @name (string (string_fragment) @name)]
  value: [(as_expression) (satisfies_expression) (non_null_expression)] @wrapped) @function

; Decorators stand beside a method, overload signatures above the function that implements them.
(class_body (decorator) @annotation)
(class_body (method_signature name: (_) @name) @annotation)
(class_body (method_signature name: (_) @name) . ";" @annotation)
(program (function_signature name: (_) @name) @annotation)
(statement_block (function_signature name: (_) @name) @annotation)
(export_statement declaration: (function_signature name: (_) @name)) @annotation
