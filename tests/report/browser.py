"""What the tests share that open report pages with a real browser, where there is one."""
import pathlib
import shutil
import subprocess
import sys
import tempfile

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SKIPPED = 77


def run(browser, folder, address, *options):
    """The finished process of one look at a page; the profile is in `folder`."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
               f"--user-data-dir={folder / 'profile'}", *options, address]
    return subprocess.run(command, capture_output=True, timeout=120, check=True)


def console(stderr):
    return [line for line in stderr.decode("utf-8", "replace").splitlines() if "CONSOLE" in line]


def check_pages(write_pages, pages, check):
    """Makes the test pages by `write_pages FOLDER` and prints the problems that
    check(browser, folder, page) finds with each. Returns the exit code of the test."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print("SKIPPED: no browser here; looked for", ", ".join(BROWSERS))
        return SKIPPED
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([write_pages, name], check=True)
        for stem in pages:
            problems = check(browser, folder, folder / f"{stem}.html")
            failures += bool(problems)
            print("FAIL" if problems else "ok", stem)
            for problem in problems:
                print("    ", problem)
        sys.stdout.flush()
    return 1 if failures else 0
