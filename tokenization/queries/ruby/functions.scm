; Functions of Ruby. What the captures mean is told in definitions.py.

(method name: (_) @name body: (_) @body) @function
(singleton_method name: (_) @name body: (_) @body) @function
; private def f, memoize def f
(call !receiver arguments: (argument_list . [(method body: (_) @body) (singleton_method body: (_) @body)] .)) @function
; define_method(:f) do … end
((call
  method: (identifier) @define
  arguments: (argument_list . (simple_symbol) @name)
  block: [(block body: (_) @body) (do_block body: (_) @body)]) @function
  (#any-of? @define "define_method" "define_singleton_method"))

; The type signature of Sorbet stands between documentation and method.
((call !receiver method: (identifier) @signature block: (_)) @annotation (#eq? @signature "sig"))

; A return in a block is one of the method around, in a lambda it is not. What a return depends on goes with it.
(lambda) @closure
((call method: (identifier) @lambda block: (_)) @closure (#eq? @lambda "lambda"))
(return) @return
(if_modifier body: (return)) @return
(unless_modifier body: (return)) @return
(binary right: (return)) @return
(assignment right: (binary right: (return))) @return
(operator_assignment right: (binary right: (return))) @return

(comment) @comment
