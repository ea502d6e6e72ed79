; What Ruby defines besides methods. The capture is the kind; see train/search/definitions.py.

(class name: [(constant) @name (scope_resolution name: (_) @name)]) @class
(module name: [(constant) @name (scope_resolution name: (_) @name)]) @module
(assignment left: (constant) @name) @constant

(comment) @comment
