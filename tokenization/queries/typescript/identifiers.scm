; Names that TypeScript writes in its own way; the others are in ecmascript/identifiers.scm.

(type_identifier) @use.type
(nested_type_identifier name: (type_identifier) @use.member)
(extends_clause value: (identifier) @use.type)

; Definitions.
(abstract_class_declaration name: (_) @class)
(interface_declaration name: (_) @class)
(type_alias_declaration name: (_) @class)
(enum_declaration name: (_) @class)
(internal_module name: (identifier) @class)
(module name: (identifier) @class)
(type_parameter name: (type_identifier) @type)
(infer_type . (type_identifier) @type)
(mapped_type_clause name: (type_identifier) @type)

(function_signature name: (identifier) @function.plain)
(method_signature name: [(property_identifier) (private_property_identifier)] @function.member)
(abstract_method_signature name: (property_identifier) @function.member)

; Patterns nested deeper than here are variables.
([
  (required_parameter pattern: [
    (identifier) @parameter
    (rest_pattern (identifier) @parameter)
    (array_pattern [
      (identifier) @parameter
      (assignment_pattern left: (identifier) @parameter)
      (rest_pattern (identifier) @parameter)])
    (object_pattern [
      (shorthand_property_identifier_pattern) @parameter
      (object_assignment_pattern left: (shorthand_property_identifier_pattern) @parameter)
      (pair_pattern value: (identifier) @parameter)
      (pair_pattern value: (assignment_pattern left: (identifier) @parameter))
      (rest_pattern (identifier) @parameter)])])
  (optional_parameter pattern: [
    (identifier) @parameter
    (object_pattern [
      (shorthand_property_identifier_pattern) @parameter
      (object_assignment_pattern left: (shorthand_property_identifier_pattern) @parameter)
      (pair_pattern value: (identifier) @parameter)])])
])

(tuple_type (_ name: [(identifier) @parameter (rest_pattern (identifier) @parameter)]))
(index_signature name: (identifier) @parameter)

(public_field_definition name: [(property_identifier) (private_property_identifier)] @attribute.member)
(public_field_definition
  name: [(property_identifier) (private_property_identifier)] @function.member
  value: [(arrow_function) (function_expression)])
(property_signature name: (property_identifier) @attribute.member)
(enum_body name: (property_identifier) @attribute.member)
(enum_assignment name: (property_identifier) @attribute.member)
; A parameter that is a field as well.
(required_parameter [(accessibility_modifier) (override_modifier) "readonly"] pattern: (identifier) @attribute)
(optional_parameter [(accessibility_modifier) (override_modifier) "readonly"] pattern: (identifier) @attribute)

; Names of other modules.
(import_require_clause (identifier) @import)
(import_alias . (identifier) @variable)
