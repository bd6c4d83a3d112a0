"""A page taken apart, and a name that would run where it is not escaped."""

from html.parser import HTMLParser

NASTY = '<img src=x onerror="alert(1)">&.jpeg'


class Page(HTMLParser):
    """What a page is made of; every element must be closed."""

    VOID = ("meta", "img", "br", "hr", "col")

    def __init__(self, html):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
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
            self.words.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]
