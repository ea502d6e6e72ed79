; What only TypeScript without JSX can write: const f = <T>(() => …)

(_ . (variable_declarator name: (identifier) @name value: (type_assertion) @wrapped) .) @function
(export_statement declaration: (_ . (variable_declarator value: (type_assertion) @wrapped) .)) @function
(public_field_definition
  name: [(property_identifier) (private_property_identifier)] @name
  value: (type_assertion) @wrapped) @function
