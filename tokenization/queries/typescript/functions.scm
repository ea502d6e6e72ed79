; Functions that TypeScript writes in its own way; the others are in ecmascript/functions.scm.

(public_field_definition
  name: [(property_identifier) (private_property_identifier)] @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @function

; Decorators stand beside a method, overload signatures above the function that implements them.
(class_body (decorator) @annotation)
(class_body (method_signature name: (_) @name) @annotation)
(class_body (method_signature name: (_) @name) . ";" @annotation)
(program (function_signature name: (_) @name) @annotation)
(statement_block (function_signature name: (_) @name) @annotation)
(export_statement declaration: (function_signature name: (_) @name)) @annotation
