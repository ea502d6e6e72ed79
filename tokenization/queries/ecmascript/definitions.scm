; What JavaScript and TypeScript define besides functions. The capture is the kind; see train/search/definitions.py.

(class_declaration name: (_) @name) @class
(class name: (_) @name) @class
(export_statement declaration: (class_declaration name: (_) @name)) @class
(variable_declarator name: (identifier) @name value: (class)) @class
(program (lexical_declaration (variable_declarator name: (identifier) @name) @constant))
(program (variable_declaration (variable_declarator name: (identifier) @name) @constant))
(program (export_statement declaration: (lexical_declaration (variable_declarator name: (identifier) @name) @constant)))
(program (expression_statement (assignment_expression left: (member_expression property: (property_identifier) @name)) @constant))

(comment) @comment
