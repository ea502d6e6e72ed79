; What PHP defines besides functions. The capture is the kind; see train/search/definitions.py.

(class_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @interface
(trait_declaration name: (_) @name) @trait
(enum_declaration name: (_) @name) @enum
(program (const_declaration (const_element (name) @name) @constant))

(comment) @comment
