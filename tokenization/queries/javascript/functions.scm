; Functions that JavaScript writes in its own way; the others are in ecmascript/functions.scm.

(field_definition
  property: [(property_identifier) (private_property_identifier)] @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @function
((field_definition
  property: [(property_identifier) (private_property_identifier)] @name
  value: (call_expression function: [(identifier) (member_expression)] @_wrapper) @wrapped) @function
  (#match? @_wrapper "^(\\w+\\.)*(use(Callback|EffectEvent|Event\\w*|Debounce\\w*|Throttle\\w*)|memo\\w*|forwardRef|observer|lazy|debounce\\w*|throttle\\w*|once|curry\\w*|partial\\w*|promisify|callbackify|action|flow|task|thunk|inject|(async|catch|wrap|with|guard|protect|bind)\\w*|\\w+(Handler|Async|Thunk|Action|Middleware|Component|Hook|Callback|Resolver|Selector|Loader|Command|Procedure|Task|Flow|HOC|Hoc|Fn|Function)|assign|freeze)$"))
(field_definition
  property: [(property_identifier) (private_property_identifier)] @name
  value: (parenthesized_expression [(arrow_function) (function_expression)]) @wrapped) @function
