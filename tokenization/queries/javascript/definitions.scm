; JavaScript has no definitions of its own beside those of ecmascript/definitions.scm.
