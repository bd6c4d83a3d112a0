"""Pages taken apart, and a file name that would run where it is not escaped."""

from html.parser import HTMLParser

NASTY = '<img src=x onerror="alert(1)">&.jpeg'


class Page(HTMLParser):
    """The elements and texts of a page, in which every element must be closed."""

    VOID = ("meta", "img", "br", "hr", "col")

    def __init__(self, html):
        super().__init__()
        self.elements, self.texts, self.open = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.VOID:  # as <img/>
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data)

    def all(self, *tags):
        """The attributes of each element of these kinds."""
        return [attributes for tag, attributes in self.elements if tag in tags]
