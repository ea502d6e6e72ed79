; Names in JSX, for the grammars that read it. Tags in small letters belong to HTML.

(jsx_opening_element name: (identifier) @use.call)
(jsx_closing_element name: (identifier) @use.call)
(jsx_self_closing_element name: (identifier) @use.call)
((jsx_opening_element name: (identifier) @ignore) (#match? @ignore "^[a-z]"))
((jsx_closing_element name: (identifier) @ignore) (#match? @ignore "^[a-z]"))
((jsx_self_closing_element name: (identifier) @ignore) (#match? @ignore "^[a-z]"))
(jsx_namespace_name) @ignore

; An attribute names a parameter of the component.
(jsx_attribute . (property_identifier) @keyword)
[(jsx_opening_element) (jsx_self_closing_element)] @element
