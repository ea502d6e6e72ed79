; Names that JavaScript writes in its own way; the others are in ecmascript/identifiers.scm.

(class_heritage (identifier) @use.type)

; Patterns nested deeper than here are variables.
(formal_parameters [
  (identifier) @parameter
  (rest_pattern (identifier) @parameter)
  (assignment_pattern left: (identifier) @parameter)
  (array_pattern [
    (identifier) @parameter
    (assignment_pattern left: (identifier) @parameter)
    (rest_pattern (identifier) @parameter)])
  (object_pattern [
    (shorthand_property_identifier_pattern) @parameter
    (object_assignment_pattern left: (shorthand_property_identifier_pattern) @parameter)
    (pair_pattern value: (identifier) @parameter)
    (pair_pattern value: (assignment_pattern left: (identifier) @parameter))
    (rest_pattern (identifier) @parameter)])
  (assignment_pattern left: (array_pattern [
    (identifier) @parameter
    (assignment_pattern left: (identifier) @parameter)
    (rest_pattern (identifier) @parameter)]))
  (assignment_pattern left: (object_pattern [
    (shorthand_property_identifier_pattern) @parameter
    (object_assignment_pattern left: (shorthand_property_identifier_pattern) @parameter)
    (pair_pattern value: (identifier) @parameter)
    (pair_pattern value: (assignment_pattern left: (identifier) @parameter))
    (rest_pattern (identifier) @parameter)]))])

(field_definition property: [(property_identifier) (private_property_identifier)] @attribute.member)
(field_definition
  property: [(property_identifier) (private_property_identifier)] @function.member
  value: [(arrow_function) (function_expression)])
