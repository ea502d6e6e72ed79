; What TypeScript defines besides what JavaScript has (ecmascript/definitions.scm).

(abstract_class_declaration name: (_) @name) @class
(export_statement declaration: (abstract_class_declaration name: (_) @name)) @class
(interface_declaration name: (_) @name) @interface
(export_statement declaration: (interface_declaration name: (_) @name)) @interface
(enum_declaration name: (_) @name) @enum
(export_statement declaration: (enum_declaration name: (_) @name)) @enum
(type_alias_declaration name: (_) @name) @type
(export_statement declaration: (type_alias_declaration name: (_) @name)) @type
(internal_module name: (_) @name) @module
(module name: (identifier) @name) @module
(function_signature name: (identifier) @name) @constant
