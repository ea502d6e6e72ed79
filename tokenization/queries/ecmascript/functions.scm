; Functions of ECMAScript, for JavaScript and TypeScript. What the captures mean is told in definitions.py.
; A value that is a function is written here as [(_ body: (statement_block)) (arrow_function body: (_))].

; Declarations.
(function_declaration name: (identifier) @name body: (_) @body) @function
(generator_function_declaration name: (identifier) @name body: (_) @body) @function
(export_statement declaration: (_ body: (statement_block) @body)) @function

; An expression's own name; `default` for one that is exported without a name.
(function_expression name: (identifier) @name body: (_) @body) @function
(generator_function name: (identifier) @name body: (_) @body) @function
((export_statement
  "default" @name
  value: [
    (_ !name body: (statement_block) @body)
    (arrow_function body: (_) @body)
    (call_expression function: [(identifier) (member_expression)] @_wrapper) @wrapped
    (call_expression function: (call_expression)) @wrapped
    (parenthesized_expression [(arrow_function) (function_expression)]) @wrapped]) @function
  (#match? @_wrapper "^(\\w+\\.)*(use(Callback|EffectEvent|Event\\w*|Debounce\\w*|Throttle\\w*)|memo\\w*|forwardRef|observer|lazy|debounce\\w*|throttle\\w*|once|curry\\w*|partial\\w*|promisify|callbackify|action|flow|task|thunk|inject|(async|catch|wrap|with|guard|protect|bind)\\w*|\\w+(Handler|Async|Thunk|Action|Middleware|Component|Hook|Callback|Resolver|Selector|Loader|Command|Procedure|Task|Flow|HOC|Hoc|Fn|Function)|assign|freeze)$"))

; Bound to a variable: const f = () => …, var f = exports.f = function … The statement, where it binds nothing else.
(variable_declarator
  name: (identifier) @name
  value: [
    (_ body: (statement_block) @body)
    (arrow_function body: (_) @body)
    (assignment_expression right: [(_ body: (statement_block) @body) (arrow_function body: (_) @body)])]) @function
(_
  . (variable_declarator
    value: [
      (_ body: (statement_block) @body)
      (arrow_function body: (_) @body)
      (assignment_expression right: [(_ body: (statement_block) @body) (arrow_function body: (_) @body)])]) .) @function
(export_statement
  declaration: (_
    . (variable_declarator value: [(_ body: (statement_block) @body) (arrow_function body: (_) @body)]) .)) @function

; Assigned: X.prototype.f = function …, exports.f = …, x['f'] = …, a.f = b.f = …
(assignment_expression
  left: [
    (identifier) @name
    (member_expression property: (_) @name)
    (subscript_expression index: (string (string_fragment) @name))]
  right: [(_ body: (statement_block) @body) (arrow_function body: (_) @body)]) @function
(expression_statement
  (assignment_expression
    right: [
      (_ body: (statement_block) @body)
      (arrow_function body: (_) @body)
      (assignment_expression right: [(_ body: (statement_block) @body) (arrow_function body: (_) @body)])])) @function

; Given back by a function that takes one: const f = memo(forwardRef(() => …)), exports.f = asyncHandler(async () => …),
; export default connect(state)(function () …). Which calls do so is told by their names, or they call what a call gave.
; Or in parentheses, as a cast of JSDoc needs them: const f = /** @type … */ (() => …). Kinds of one place stand in one
; pattern, since each pattern costs time; the predicate asks only those that capture a name.
((_
  . (variable_declarator
    name: (identifier) @name
    value: [
      (call_expression function: [(identifier) (member_expression)] @_wrapper)
      (call_expression function: (call_expression))
      (parenthesized_expression [(arrow_function) (function_expression)])] @wrapped) .) @function
  (#match? @_wrapper "^(\\w+\\.)*(use(Callback|EffectEvent|Event\\w*|Debounce\\w*|Throttle\\w*)|memo\\w*|forwardRef|observer|lazy|debounce\\w*|throttle\\w*|once|curry\\w*|partial\\w*|promisify|callbackify|action|flow|task|thunk|inject|(async|catch|wrap|with|guard|protect|bind)\\w*|\\w+(Handler|Async|Thunk|Action|Middleware|Component|Hook|Callback|Resolver|Selector|Loader|Command|Procedure|Task|Flow|HOC|Hoc|Fn|Function)|assign|freeze)$"))
((export_statement
  declaration: (_
    . (variable_declarator
      value: [
        (call_expression function: [(identifier) (member_expression)] @_wrapper)
        (call_expression function: (call_expression))
        (parenthesized_expression [(arrow_function) (function_expression)])] @wrapped) .)) @function
  (#match? @_wrapper "^(\\w+\\.)*(use(Callback|EffectEvent|Event\\w*|Debounce\\w*|Throttle\\w*)|memo\\w*|forwardRef|observer|lazy|debounce\\w*|throttle\\w*|once|curry\\w*|partial\\w*|promisify|callbackify|action|flow|task|thunk|inject|(async|catch|wrap|with|guard|protect|bind)\\w*|\\w+(Handler|Async|Thunk|Action|Middleware|Component|Hook|Callback|Resolver|Selector|Loader|Command|Procedure|Task|Flow|HOC|Hoc|Fn|Function)|assign|freeze)$"))
((expression_statement
  (assignment_expression
    left: [(identifier) @name (member_expression property: (_) @name)]
    right: [
      (call_expression function: [(identifier) (member_expression)] @_wrapper)
      (call_expression function: (call_expression))
      (parenthesized_expression [(arrow_function) (function_expression)])] @wrapped)) @function
  (#match? @_wrapper "^(\\w+\\.)*(use(Callback|EffectEvent|Event\\w*|Debounce\\w*|Throttle\\w*)|memo\\w*|forwardRef|observer|lazy|debounce\\w*|throttle\\w*|once|curry\\w*|partial\\w*|promisify|callbackify|action|flow|task|thunk|inject|(async|catch|wrap|with|guard|protect|bind)\\w*|\\w+(Handler|Async|Thunk|Action|Middleware|Component|Hook|Callback|Resolver|Selector|Loader|Command|Procedure|Task|Flow|HOC|Hoc|Fn|Function)|assign|freeze)$"))

; Members of objects and classes (fields of classes: see the language's own queries).
(method_definition name: [(property_identifier) (private_property_identifier)] @name body: (_) @body) @function
((pair
  key: [(property_identifier) @name (string (string_fragment) @name)]
  value: [
    (_ body: (statement_block) @body)
    (arrow_function body: (_) @body)
    (call_expression function: [(identifier) (member_expression)] @_wrapper) @wrapped]) @function
  (#match? @_wrapper "^(\\w+\\.)*(use(Callback|EffectEvent|Event\\w*|Debounce\\w*|Throttle\\w*)|memo\\w*|forwardRef|observer|lazy|debounce\\w*|throttle\\w*|once|curry\\w*|partial\\w*|promisify|callbackify|action|flow|task|thunk|inject|(async|catch|wrap|with|guard|protect|bind)\\w*|\\w+(Handler|Async|Thunk|Action|Middleware|Component|Hook|Callback|Resolver|Selector|Loader|Command|Procedure|Task|Flow|HOC|Hoc|Fn|Function)|assign|freeze)$"))

[(arrow_function) (function_expression) (generator_function) (method_definition)] @closure
(return_statement) @return
(comment) @comment
