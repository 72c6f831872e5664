/** What the output of a failed program means and what to do, the most telling first. */
const MEANINGS = [
  [
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ECONNRESET|ENETUNREACH|EHOSTUNREACH|NewConnectionError|Failed to resolve|network is unreachable|ended after \d+ s/i,
    "no network (offline, a firewall, or a proxy that is not set)",
  ],
  [
    /CERT_|SELF_SIGNED|CERTIFICATE_VERIFY_FAILED|unable to get local issuer/i,
    "the server's certificate is not trusted (behind a company proxy, set NODE_EXTRA_CA_CERTS and PIP_CERT)",
  ],
  [/ENOSPC|No space left on device/i, "the disk is full: free some gigabytes"],
  [/EACCES|EROFS|Permission denied|Read-only file system/i, "no right to write here: check the owner of the folder"],
  [/ensurepip/i, "Python's venv module is incomplete (Debian and Ubuntu: apt-get install python3-venv)"],
  [/No matching distribution found/i, "no wheel for this Python version and platform"],
  [/not found: make/i, "make is missing (Debian and Ubuntu: apt-get install make)"],
  [/(g\+\+|c\+\+|clang\+\+|cc1plus).*(not found|No such file)/i, "the C++ compiler does not run"],
];

/** The reason why a program failed, as one line, from all it printed. */
export function diagnose(output) {
  const known = MEANINGS.find(([pattern]) => pattern.test(output));
  if (known) return known[1];
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const telling = lines.findLast((line) => /error/i.test(line)) ?? lines.at(-1) ?? "it printed nothing";
  return telling.trim().slice(0, 200);
}
