"""A user's look at the page of `make serve`."""

import re
from dataclasses import dataclass, field

from playwright.sync_api import Locator, Page, expect

PROMPT = "the best scene"
HOSTILE = '<img src=x onerror="window.hit = 1"><script>window.hit = 1</script>'


@dataclass
class Visit:
    """A user's look at the page, and what the browser asked for or complained of on the way."""

    page: Page
    address: str
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, state: str = "ready") -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(self.address)
        expect(self.page.locator("#model")).to_have_attribute("data-state", state)

    @property
    def prompt(self) -> Locator:
        return self.page.get_by_role("textbox", name="Prompt")

    @property
    def button(self) -> Locator:
        return self.page.locator("#go")

    @property
    def words(self) -> Locator:
        return self.page.locator("#current .words")

    def set(self, label: str, value: float) -> None:
        self.page.get_by_label(label, exact=True).fill(str(value))

    def generate(self, prompt: str = PROMPT) -> None:
        self.prompt.fill(prompt)
        self.button.click()

    def wait_for_the_end(self) -> None:
        expect(self.button).to_have_text("Generate")

    def wait_for_words(self) -> None:
        """Wait until a text has more than its prompt."""
        expect(self.page.locator("#current .new")).to_have_text(re.compile(r"\w"))

    def fact(self, name: str) -> Locator:
        row = self.page.locator("#current .facts div").filter(has_text=re.compile(f"^{name}"))
        return row.locator("dd")

    def copy(self, label: str) -> str:
        self.page.locator("#current").get_by_role("button", name=label).click()
        expect(self.page.get_by_role("status")).to_have_text("Copied")
        return self.page.evaluate("navigator.clipboard.readText()")
