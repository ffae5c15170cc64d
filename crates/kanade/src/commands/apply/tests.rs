//! Files that are given to `apply`.

use super::*;

const JOB: &str = "apiVersion: kanade/v1\nkind: Job\nid: a\nversion: \"1\"\n\
                   run:\n  shell: sh\n  script: echo\n";

fn read_one(text: &str) -> (Vec<Wanted>, Vec<Failure>) {
    let (mut jobs, mut wrong) = (Vec::new(), Vec::new());
    read("job.yaml", text, &mut jobs, &mut wrong);
    (jobs, wrong)
}

#[test]
fn a_file_is_sent_byte_for_byte_and_several_jobs_apart() {
    let text = format!("# why\n{JOB}");
    let (jobs, wrong) = read_one(&text);
    assert!(wrong.is_empty());
    assert_eq!(jobs[0].yaml, text);
    let (jobs, _) = read_one(&format!("{JOB}---\n{}", JOB.replace("id: a", "id: b")));
    let names: Vec<&str> = jobs.iter().map(|job| job.job.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(jobs[1].from, "job.yaml:9");
}

#[test]
fn mistakes_of_all_documents_are_told_with_the_lines_of_the_file() {
    let second = JOB.replace("shell: sh", "shel: sh").replace("echo", "\"\"");
    let (jobs, wrong) = read_one(&format!("{JOB}---\n{second}"));
    assert_eq!(jobs.len(), 1);
    insta::assert_snapshot!(wrong[0], @"
    error: 1 problem in job.yaml:14:3
      14 │   shel: sh
         │   ^^^^ unknown key; did you mean `shell`?
    ");
}

#[test]
fn a_job_that_is_there_twice_is_nobodys_wish() {
    let (jobs, _) = read_one(&format!("{JOB}---\n{JOB}"));
    insta::assert_snapshot!(twice(&jobs)[0], @"
    error: job `a` is there twice
      in:  job.yaml:1 and job.yaml:9
    ");
}

#[test]
fn a_folder_gives_its_yaml_files_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::create_dir(path.join("deep")).unwrap();
    for name in ["b.yml", "a.yaml", "deep/c.yaml", "x.txt", ".hidden.yaml"] {
        std::fs::write(path.join(name), JOB).unwrap();
    }
    let files = files(&[path.to_owned()]).unwrap();
    let wanted = ["a.yaml", "b.yml", "deep/c.yaml"].map(|name| path.join(name));
    assert_eq!(files, wanted);
    std::fs::create_dir(path.join("empty")).unwrap();
    assert_eq!(
        super::files(&[path.join("empty")]).unwrap_err().exit(),
        Exit::Usage
    );
}

#[test]
fn a_job_that_a_windows_editor_saved_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.yaml");
    let text = JOB.replace('\n', "\r\n");
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    let bytes: Vec<u8> = units.flat_map(u16::to_le_bytes).collect();
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(text_of(&file).unwrap(), text);
    std::fs::write(&file, [b'a', 0xff]).unwrap();
    let refused = text_of(&file).unwrap_err().to_string();
    assert!(refused.contains("not UTF-8"), "{refused}");
    assert_eq!(read_one(&text).0.len(), 1);
}
