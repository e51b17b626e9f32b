//! Which paths a Rust file names: a scanner that knows just enough of the language to find them.

/// The code without comments, string contents and `#[cfg(test)] mod` blocks; lines stay where they are.
#[must_use]
pub fn strip(text: &str) -> String {
    without_tests(&without_comments(text))
}

fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut i = 0;
    while i < chars.len() {
        let c = at(i);
        let starts_word = i == 0 || !(at(i - 1).is_alphanumeric() || at(i - 1) == '_');
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && at(i) != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            let mut depth = 0;
            while i < chars.len() {
                if at(i) == '/' && at(i + 1) == '*' {
                    depth += 1;
                    i += 2;
                } else if at(i) == '*' && at(i + 1) == '/' {
                    depth -= 1;
                    i += 2;
                    if depth == 0 {
                        break;
                    }
                } else {
                    keep_newline(at(i), &mut out);
                    i += 1;
                }
            }
        } else if c == 'r'
            && starts_word
            && (at(i + 1) == '"' || at(i + 1) == '#')
            && raw_hashes(&chars, i + 1).is_some()
        {
            i = skip_raw(&chars, i + 1, &mut out);
        } else if c == 'b' && starts_word && at(i + 1) == 'r' && raw_hashes(&chars, i + 2).is_some()
        {
            i = skip_raw(&chars, i + 2, &mut out);
        } else if c == '"' {
            out.push_str("\"\"");
            i += 1;
            while i < chars.len() && at(i) != '"' {
                keep_newline(at(i), &mut out);
                if at(i) == '\\' {
                    i += 1;
                    keep_newline(at(i), &mut out);
                }
                i += 1;
            }
            i += 1;
        } else if c == '\'' && (at(i + 1) == '\\' || at(i + 2) == '\'') {
            // A character, not a lifetime.
            i += if at(i + 1) == '\\' { 3 } else { 2 };
            while i < chars.len() && at(i) != '\'' {
                i += 1;
            }
            i += 1;
            out.push_str("' '");
        } else {
            out.push(c);
            i += 1;
        }
    }
    out
}

fn keep_newline(c: char, out: &mut String) {
    if c == '\n' {
        out.push('\n');
    }
}

/// The number of `#` before the quote of a raw string that would start here.
fn raw_hashes(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars.iter().skip(start).take_while(|c| **c == '#').count();
    (chars.get(start + hashes) == Some(&'"')).then_some(hashes)
}

fn skip_raw(chars: &[char], start: usize, out: &mut String) -> usize {
    let hashes = raw_hashes(chars, start).unwrap_or(0);
    out.push_str("\"\"");
    let mut i = start + hashes + 1;
    while i < chars.len() {
        if chars.get(i) == Some(&'"')
            && chars
                .iter()
                .skip(i + 1)
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
        {
            return i + 1 + hashes;
        }
        keep_newline(chars.get(i).copied().unwrap_or(' '), out);
        i += 1;
    }
    i
}

fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        out.push_str(before);
        let next = after.trim_start();
        let is_block = next.starts_with("mod ")
            && next
                .find('{')
                .is_some_and(|brace| next.find(';').is_none_or(|end| brace < end));
        if !is_block {
            rest = after;
            continue;
        }
        let mut depth = 0;
        let mut end = after.len();
        for (at, c) in after.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => {
                    depth -= 1;
                    if depth == 0 {
                        end = at + 1;
                        break;
                    }
                }
                _ => {}
            }
        }
        let (block, tail) = after.split_at(end);
        out.extend(block.chars().filter(|c| *c == '\n'));
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Each path in stripped code with its line, `use` lists unfolded, `self::` and `super::` resolved to `crate::…`.
#[must_use]
pub fn named(file: &str, code: &str) -> Vec<(usize, String)> {
    let module = module_of(file);
    let tokens = tokens(code);
    let mut out = Vec::new();
    let mut i = 0;
    while let Some((line, token)) = tokens.get(i) {
        if is_word(token) {
            i = path(&tokens, i, "", *line, &mut out);
        } else {
            i += 1;
        }
    }
    for (_, path) in &mut out {
        *path = resolve(&module, path);
    }
    out
}

/// Reads one path (and its list) that starts at `i`; returns where to go on.
fn path(
    tokens: &[(usize, String)],
    mut i: usize,
    prefix: &str,
    line: usize,
    out: &mut Vec<(usize, String)>,
) -> usize {
    let text = |i: usize| tokens.get(i).map_or("", |(_, token)| token.as_str());
    let mut path = prefix.to_owned();
    loop {
        if is_word(text(i)) || text(i) == "*" {
            if !path.is_empty() {
                path.push_str("::");
            }
            path.push_str(text(i));
            i += 1;
        }
        if text(i) != "::" {
            break;
        }
        match text(i + 1) {
            "{" => {
                i += 2;
                while i < tokens.len() && text(i) != "}" {
                    let here = tokens.get(i).map_or(line, |(line, _)| *line);
                    if is_word(text(i)) || text(i) == "*" {
                        i = self::path(tokens, i, &path, here, out);
                        if text(i) == "as" {
                            i += 2;
                        }
                    } else {
                        i += 1;
                    }
                }
                return i + 1;
            }
            next if is_word(next) || next == "*" => i += 1,
            _ => {
                i += 1;
                break;
            }
        }
    }
    out.push((line, path.trim_end_matches("::self").to_owned()));
    i
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    let mut line = 1;
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        } else if c.is_alphanumeric() || c == '_' {
            let mut word = String::from(c);
            while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                word.push(c);
            }
            out.push((line, word));
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            out.push((line, "::".to_owned()));
        } else if !c.is_whitespace() {
            out.push((line, c.to_string()));
        }
    }
    out
}

/// `server/src/http/runs.rs` → `http`, `runs`.
fn module_of(file: &str) -> Vec<String> {
    let inner = file
        .split_once("/src/")
        .map_or("", |(_, inner)| inner)
        .trim_end_matches(".rs");
    let mut parts: Vec<String> = inner
        .split('/')
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect();
    if parts
        .last()
        .is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str()))
    {
        parts.pop();
    }
    parts
}

fn resolve(module: &[String], path: &str) -> String {
    let mut base = module.to_vec();
    let mut rest = path;
    if rest != "self" && !rest.starts_with("self::") && !rest.starts_with("super") {
        return path.to_owned();
    }
    while let Some((first, tail)) = rest.split_once("::") {
        match first {
            "self" => {}
            "super" => {
                base.pop();
            }
            _ => break,
        }
        rest = tail;
    }
    let mut out = vec!["crate".to_owned()];
    out.extend(base);
    out.push(rest.to_owned());
    out.join("::")
}
