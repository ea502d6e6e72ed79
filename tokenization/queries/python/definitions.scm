; What Python defines besides functions. The capture is the kind; see train/search/definitions.py.

(class_definition name: (identifier) @name) @class
(decorated_definition definition: (class_definition name: (identifier) @name)) @class
(module (expression_statement (assignment left: (identifier) @name) @constant))
(module (expression_statement (assignment left: (pattern_list (identifier) @name)) @constant))
(type_alias_statement left: (type (identifier) @name)) @type

(comment) @comment
