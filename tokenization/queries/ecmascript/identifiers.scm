; Names in ECMAScript, for JavaScript and TypeScript. What the captures mean is told in identifiers.py; of several
; captures of one node the strongest counts.

(identifier) @use
(shorthand_property_identifier) @use
(property_identifier) @use.member
(private_property_identifier) @use.member

; Uses that say how the name is used.
(call_expression function: (identifier) @use.call)
(call_expression function: (member_expression property: [(property_identifier) (private_property_identifier)] @use.member.call))
(new_expression constructor: (identifier) @use.type)

; Definitions.
(class_declaration name: (_) @class)
(class name: (_) @class)
(variable_declarator name: (identifier) @class value: (class))

(function_declaration name: (identifier) @function.plain)
(generator_function_declaration name: (identifier) @function.plain)
(function_expression name: (identifier) @function.plain)
(generator_function name: (identifier) @function.plain)
(variable_declarator
  name: (identifier) @function.plain
  value: [(arrow_function) (function_expression) (generator_function)])
(method_definition name: [(property_identifier) (private_property_identifier)] @function.member)
((pair
  key: (property_identifier) @function.member
  value: [(arrow_function) (function_expression) (generator_function)])
  (#not-eq? @function.member "constructor"))
; An event's handler keeps its name: window.onload = function …
((assignment_expression
  left: (member_expression property: [(property_identifier) (private_property_identifier)] @function.member)
  right: [(arrow_function) (function_expression) (generator_function)])
  (#not-match? @function.member "^(on[a-z]+|exports|constructor)$"))

(arrow_function parameter: (identifier) @parameter)
(catch_clause parameter: (identifier) @parameter)

(variable_declarator name: (identifier) @variable)
(for_in_statement left: (identifier) @variable)
(shorthand_property_identifier_pattern) @variable
(pair_pattern value: (identifier) @variable)
(array_pattern (identifier) @variable)
(assignment_pattern left: (identifier) @variable)
(rest_pattern (identifier) @variable)
(statement_identifier) @variable

(assignment_expression
  left: (member_expression
    object: (this)
    property: [(property_identifier) (private_property_identifier)] @attribute.member))
((assignment_expression
  left: (member_expression object: (identifier) @exports property: (property_identifier) @attribute.member))
  (#eq? @exports "exports"))
(assignment_expression
  left: (member_expression
    object: (member_expression property: (property_identifier) @prototype)
    property: (property_identifier) @attribute.member)
  (#any-of? @prototype "prototype" "exports")
  (#not-eq? @attribute.member "constructor"))

; Not names of this file.
((method_definition name: (property_identifier) @ignore) (#eq? @ignore "constructor"))
(member_expression object: (meta_property) property: (property_identifier) @ignore)
(export_specifier alias: (identifier) @ignore (#eq? @ignore "default"))
(export_specifier name: (identifier) @ignore (#eq? @ignore "default"))

; Names of other modules.
(import_statement) @ignore
(export_statement source: (_)) @ignore
(import_clause (identifier) @import)
(namespace_import (identifier) @import)
(import_specifier name: (identifier) @import !alias)
(import_specifier alias: (identifier) @import)
((variable_declarator
  name: [
    (identifier) @import
    (object_pattern [
      (shorthand_property_identifier_pattern) @import
      (pair_pattern key: (_) @ignore value: (identifier) @import)])]
  value: [
    (call_expression function: (identifier) @require)
    (member_expression object: (call_expression function: (identifier) @require))])
  (#eq? @require "require"))
((member_expression
  object: (call_expression function: (identifier) @require)
  property: (property_identifier) @ignore)
  (#eq? @require "require"))
(variable_declarator
  name: [
    (identifier) @import
    (object_pattern [
      (shorthand_property_identifier_pattern) @import
      (pair_pattern key: (_) @ignore value: (identifier) @import)])]
  value: (await_expression (call_expression function: (import))))

[
  (function_declaration)
  (generator_function_declaration)
  (function_expression)
  (generator_function)
  (arrow_function)
  (method_definition)
] @scope
