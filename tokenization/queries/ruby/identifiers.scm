; Names in Ruby. What the captures mean is told in identifiers.py; of several captures of one node the strongest counts.
; A plain name that no assignment or parameter binds is a method called without arguments. Symbols and the keys of hashes
; are literals, except where Ruby itself takes a symbol for the name of a method or attribute.

(identifier) @use.call
(constant) @use
(global_variable) @use

; Uses that say how the name is used.
(call receiver: (_) method: (identifier) @use.member.call)
((scope_resolution name: (constant) @use.member) (#not-match? @use.member "[a-z]"))
(block_argument (simple_symbol) @use.member.call)
((call
  !receiver
  method: (identifier) @taker
  arguments: (argument_list (simple_symbol) @use.call))
  (#any-of? @taker
    "private" "protected" "public" "module_function" "private_class_method" "public_class_method" "alias_method"
    "undef_method" "remove_method" "ruby2_keywords"
    "private_constant" "public_constant" "deprecate_constant"))
; f(name:) and { name: } take the value from the variable of that name.
(pair key: (hash_key_symbol) @use.call !value)

; Definitions.
(class name: (constant) @class)
(module name: (constant) @class)
(class name: (scope_resolution name: (constant) @class))
(module name: (scope_resolution name: (constant) @class))
((assignment left: (constant) @class right: (call receiver: (constant) @maker method: (identifier) @make))
  (#any-of? @maker "Struct" "Class" "Module" "Data")
  (#any-of? @make "new" "define"))

(method name: [(identifier) (constant)] @function)
(method name: (setter name: [(identifier) (constant)] @function))
(singleton_method name: [(identifier) (constant)] @function)
(singleton_method name: (setter name: [(identifier) (constant)] @function))
(alias name: (identifier) @function)
((call
  !receiver
  method: (identifier) @definer
  arguments: (argument_list . (simple_symbol) @function))
  (#any-of? @definer "alias_method" "define_method" "define_singleton_method"))

(method_parameters (identifier) @parameter)
(block_parameters (identifier) @parameter)
(lambda_parameters (identifier) @parameter)
(destructured_parameter (identifier) @parameter)
(_ [
  (optional_parameter name: (identifier) @parameter)
  (keyword_parameter name: (identifier) @parameter)
  (hash_splat_parameter name: (identifier) @parameter)
  (block_parameter name: (identifier) @parameter)])
(method_parameters (splat_parameter name: (identifier) @parameter))
(block_parameters (splat_parameter name: (identifier) @parameter))
(lambda_parameters (splat_parameter name: (identifier) @parameter))
(destructured_parameter (splat_parameter name: (identifier) @parameter))

(assignment left: [(identifier) (global_variable)] @variable)
(operator_assignment left: [(identifier) (global_variable)] @variable)
(left_assignment_list [(identifier) (global_variable)] @variable)
(destructured_left_assignment [(identifier) (global_variable)] @variable)
(rest_assignment [(identifier) (global_variable)] @variable)
(alias name: (global_variable) @variable)
(exception_variable (identifier) @variable)
(for pattern: (identifier) @variable)
(in_clause pattern: (identifier) @variable)
(array_pattern [(identifier) @variable (splat_parameter name: (identifier) @variable)])
(find_pattern [(identifier) @variable (splat_parameter name: (identifier) @variable)])
(hash_pattern (hash_splat_parameter name: (identifier) @variable))
(alternative_pattern (identifier) @variable)
(as_pattern name: (identifier) @variable)
(keyword_pattern value: (identifier) @variable)
(keyword_pattern key: (hash_key_symbol) @variable !value)

; A variable of an instance or class is declared nowhere. A constant is reached by its plain name and behind its module.
(instance_variable) @attribute.member
(class_variable) @attribute.member
(assignment left: (constant) @attribute)
(operator_assignment left: (constant) @attribute)
((call
  !receiver
  method: (identifier) @definer
  arguments: (argument_list (simple_symbol) @attribute))
  (#any-of? @definer "attr" "attr_accessor" "attr_reader" "attr_writer"))
((call
  receiver: (constant) @maker
  method: (identifier) @make
  arguments: (argument_list (simple_symbol) @attribute))
  (#any-of? @maker "Struct" "Data")
  (#any-of? @make "new" "define"))

; The name of an argument.
((argument_list (pair key: (hash_key_symbol) @keyword value: (_))) @arguments)

; Global variables of Ruby itself.
((global_variable) @ignore
  (#match? @ignore "^\\$(\\W|_|[0-9]+|-.|stdin|stdout|stderr|PROGRAM_NAME|LOAD_PATH|LOADED_FEATURES|DEBUG|VERBOSE|FILENAME)$"))

[(method) (singleton_method) (block) (do_block) (lambda)] @scope
