//! Whole programs on our `malloc`, by preload: their output is what it is with the system's. The test prints which
//! programs were there.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{compile, folder, has, library, output};

/// Runs a script of the shell with the system's malloc and with ours, each time in an empty folder within this one; the
/// outputs are equal.
fn same(name: &str, folder: &Path, script: &str) {
    let run = |preload: bool| {
        let work = folder.join("work");
        let _ = std::fs::remove_dir_all(&work);
        std::fs::create_dir(&work).expect("a folder");
        let mut command = Command::new("bash");
        command.args(["-c", &format!("set -euo pipefail\n{script}")]).current_dir(work);
        // A child must not think that the tests' folder is its repository, nor that it is in a test of cargo's.
        command.env_remove("GIT_DIR").env("LC_ALL", "C").env("PYTHONHASHSEED", "0");
        if preload {
            command.env("LD_PRELOAD", library());
        }
        let out = output(&mut command);
        (String::from_utf8_lossy(&out.stdout).into_owned(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let expected = run(false);
    assert!(!expected.0.is_empty(), "{name} says nothing");
    let ours = run(true);
    assert_eq!(ours, expected, "{name}");
    println!("{name}: {} bytes of output, the same", expected.0.len());
}

/// The same, if a program is there.
fn same_if_there(program: &str, script: &str) {
    if has("bash") && has(program) {
        let folder = folder(program);
        same(program, &folder, script);
        std::fs::remove_dir_all(folder).expect("it was made");
    }
}

/// The same for a program of `tests/c`.
fn same_for(source: &str, options: &[&str], script: &str) {
    let folder = folder(source);
    if has("bash") && compile(&format!("tests/c/{source}"), &folder.join("program"), options) {
        same(source, &folder, script);
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// The comparison sees the allocator: `malloc` is ours in the program, and in those that it starts.
#[test]
fn the_preload_takes_effect() {
    if has("bash") && has("grep") {
        let script = "grep -c libheapmaster.so /proc/self/maps > /dev/null && echo ours || echo theirs";
        let run = |command: &mut Command| output(command.args(["-c", script])).stdout;
        assert_eq!(run(&mut Command::new("bash")), b"theirs\n");
        assert_eq!(run(&mut common::preloaded("bash")), b"ours\n");
    }
}

#[test]
fn python() {
    same_if_there(
        "python3",
        r#"python3 - <<'END'
import collections, hashlib, json, re, threading, zlib
text = json.dumps([{"number": n, "text": "x" * (n % 300), "list": list(range(n % 50))} for n in range(5000)])
print(hashlib.sha256(text.encode()).hexdigest(), len(zlib.compress(text.encode())))
print(collections.Counter(re.findall(r"\d", text)).most_common(3))
def work(n): sums[n] = sum(len(str(i) * 10) for i in range(3000))
sums = {}
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sums)
import subprocess, sys, os
print(subprocess.run([sys.executable, "-c", "print(len(bytearray(10**7)))"], capture_output=True).stdout)
pid = os.fork()
if pid == 0:
    print("child", len([str(i) for i in range(100000)]), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
END"#,
    );
}

#[test]
fn git() {
    same_if_there(
        "git",
        r#"export GIT_AUTHOR_DATE='2000-01-01T00:00:00Z' GIT_COMMITTER_DATE='2000-01-01T00:00:00Z' HOME="$PWD"
git init -q -b main repository && cd repository
git config user.name One && git config user.email one@example.org
for i in $(seq 30); do seq $((i * 100)) > "file$((i % 7))"; git add -A; git commit -q -m "Change $i"; done
git log --stat | cksum; git gc -q --aggressive; git fsck --strict; git diff HEAD~20 | cksum; git blame file3 | tail -1"#,
    );
}

#[test]
fn gcc() {
    same_if_there(
        "g++",
        r#"cat > program.cpp <<'END'
#include <iostream>
#include <map>
#include <string>
int main() {
    std::map<std::string, int> map;
    for (int i = 0; i < 1000; i++) map[std::to_string(i)] = i;
    std::cout << map.size() << map["77"] << std::endl;
}
END
g++ -O2 -std=c++17 -S program.cpp -o program.s && cksum < program.s && g++ program.s -o program && ./program"#,
    );
}

#[test]
fn perl() {
    same_if_there(
        "perl",
        r#"perl -e 'my %h; $h{$_ % 1000} .= "$_," for 1..50000; my $t = join "", map { $h{$_} } sort keys %h;
            $t =~ s/(\d)(\d)/$2$1/g; print length($t), " ", unpack("%32C*", $t), "\n"'"#,
    );
}

#[test]
fn node() {
    same_if_there(
        "node",
        r#"node -e 'const m = new Map(); for (let i = 0; i < 100000; i++) m.set("k" + i % 5000, [i, "x".repeat(i % 100)]);
            console.log(m.size, JSON.stringify([...m]).length, Buffer.alloc(5e6, 1).reduce((a, b) => a + b));
            new (require("worker_threads").Worker)("console.log([1,2,3].map(x => x * x).join())", {eval: true});'"#,
    );
}

#[test]
fn sqlite() {
    same_if_there(
        "sqlite3",
        r#"sqlite3 file.db "create table t(a integer primary key, b text, c real);
            with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
            insert into t select i, hex(i * 7919) || i, i / 7.0 from n;
            create index i on t(b); select count(*), sum(length(b)), max(b) from t where b > '5';
            delete from t where a % 3 = 0; vacuum; pragma integrity_check;
            select a % 10, count(*), total(c) from t group by 1 order by 2, 1;""#,
    );
}

#[test]
fn pipelines_of_the_shell() {
    same_if_there(
        "bash",
        r#"seq 20000 | sort -r | awk '{ s[$1 % 100] = s[$1 % 100] $1 } END { for (i in s) print length(s[i]), i }' | sort -n | md5sum
a=(); for i in {1..3000}; do a+=("item $i"); done; echo "${#a[@]} ${a[*]:100:3}"
for i in {1..20}; do (echo "$i" | tr 0-9 a-j | rev); done | tac | paste -sd, ; tar cf - /etc/passwd 2>/dev/null | gzip -n | gunzip | tar tf -"#,
    );
}

#[test]
fn sixty_four_threads() {
    same_for("threads.c", &[], "../program");
}

#[test]
fn a_fork_in_the_middle() {
    same_for("threads.c", &[], "../program fork");
}

#[test]
fn before_main_and_after_it() {
    same_for("ends.c", &[], "../program");
}

/// Forty files, which all have thread-locals: the loader allocates for them in the middle of threads' calls.
#[test]
fn plugins_that_come_and_go() {
    let folder = folder("plugins");
    let plugin = folder.join("plugin.so");
    if has("bash") && compile("tests/c/plugin.c", &plugin, &["-shared", "-fPIC"]) {
        assert!(compile("tests/c/host.c", &folder.join("host"), &["-ldl"]));
        let copies = (0..40).map(|number| folder.join(format!("plugin{number}.so")));
        copies.for_each(|copy| _ = std::fs::copy(&plugin, copy).expect("a copy"));
        same("plugins", &folder, "../host ../plugin[0-9]*.so");
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}

/// Few addresses: the allocator takes what is there, and a failure is one that the program can handle.
#[test]
fn few_addresses() {
    let script = |limit: &str| {
        format!(
            r#"ulimit -v {limit}; python3 - <<'END'
parts = []
try:
    while len(parts) < 1000: parts.append(bytearray(1 << 24))
except MemoryError:
    full = True
parts.clear()
print(full, len(bytearray(1 << 24)), sum(len(str(i)) for i in range(100000)))
END"#
        )
    };
    if has("bash") && has("python3") {
        let folder = folder("few");
        ["600000", "2000000"].iter().for_each(|limit| same("ulimit -v", &folder, &script(limit)));
        std::fs::remove_dir_all(folder).expect("it was made");
    }
}

/// The environment's limit: `malloc` returns null, and the program handles it.
#[test]
fn a_limit_of_the_environment() {
    let folder = folder("limit");
    let program = folder.join("limit");
    if compile("tests/c/limit.c", &program, &[]) {
        let said = |limit: &str| {
            let mut command = common::preloaded(program.to_str().expect("text"));
            let said = output(command.env("HEAPMASTER_LIMIT", limit)).stdout;
            String::from_utf8_lossy(&said).trim().parse::<usize>().expect("a number")
        };
        let megabytes = said("67108864");
        assert!((48..=64).contains(&megabytes), "{megabytes} MiB of 64");
        assert_eq!(said("0"), 0);
        // Nothing that is no number is a limit.
        assert_eq!(said("12x"), 1000);
    }
    std::fs::remove_dir_all(folder).expect("it was made");
}
