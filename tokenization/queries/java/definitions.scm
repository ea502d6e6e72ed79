; What Java defines besides functions. The capture is the kind; see train/search/definitions.py.

(class_declaration name: (_) @name) @class
(record_declaration name: (_) @name) @class
(interface_declaration name: (_) @name) @interface
(annotation_type_declaration name: (_) @name) @interface
(enum_declaration name: (_) @name) @enum

(line_comment) @comment
(block_comment) @comment
