package mlflow

import (
	"context"
	"io"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"caos"
)

// File is a file of a model version.
type File struct {
	Path string `json:"path"` // with slashes, relative to the version's folder
	Size int64  `json:"size"`
}

const proxy = "/api/2.0/mlflow-artifacts/artifacts"

// maxPath bounds the path of a file.
const maxPath = 1024

// folder is where the files of a version lie within the artifact proxy, from what the
// server says of it: "mlflow-artifacts:/1/models/m-…/artifacts".
func (c *Client) folder(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || len(uri) > 4096 {
		return "", caos.Errorf(caos.Invalid, "%s says that the files lie at %q, which is no address", c.host, clip(uri)).WithField("source")
	}
	switch {
	case u.Scheme != "mlflow-artifacts":
		return "", c.unproxied("they lie in a store of kind " + clip(u.Scheme) + " that clients reach themselves")
	case u.Host != "" && !strings.EqualFold(u.Host, c.host):
		return "", c.unproxied("they are served by " + clip(u.Host))
	case u.RawQuery != "" || u.Fragment != "":
		return "", caos.Errorf(caos.Invalid, "%s says that the files lie at %q, which is no folder", c.host, clip(uri)).WithField("source")
	}
	path := strings.Trim(u.Path, "/")
	for _, part := range strings.Split(path, "/") {
		if why := checkComponent(part); why != "" {
			return "", caos.Errorf(caos.Invalid, "%s says that the files lie at %q, which %s", c.host, clip(uri), why).WithField("source").WithRule("mlflow-path")
		}
	}
	return path, nil
}

// checkComponent says what is wrong with one name of a path, "" if nothing is.
func checkComponent(name string) string {
	switch {
	case name == "":
		return "has an empty part"
	case name == "." || name == "..":
		return "leads out of its folder"
	case strings.ContainsAny(name, `/\`):
		return "has a separator inside a name"
	case len(name) > 255:
		return "has a name of more than 255 bytes"
	case !utf8.ValidString(name) || control(name):
		return "has characters that no name may have"
	}
	return ""
}

// listed is an entry of a folder, as the server tells it.
type listed struct {
	Path  string  `json:"path"`
	IsDir bool    `json:"is_dir"`
	Size  integer `json:"file_size"`
}

// walk lists every file under the folder root, in the order of their paths.
func (c *Client) walk(ctx context.Context, root string) ([]File, error) {
	type dir struct {
		path  string // relative
		depth int
	}
	var files []File
	var total int64
	todo, folders := []dir{{}}, 1
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		entries, err := c.list(ctx, join(root, at.path))
		if err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, e := range entries {
			if err := checkEntry(at.path, e, seen); err != nil {
				return nil, err
			}
			path := join(at.path, e.Path)
			if e.IsDir {
				if folders++; folders > c.opt.Limits.Folders || at.depth+1 > c.opt.Limits.Depth {
					return nil, tooMany("folders", c.opt.Limits.Folders, "or they go deeper than", c.opt.Limits.Depth)
				}
				todo = append(todo, dir{path, at.depth + 1})
				continue
			}
			files = append(files, File{Path: path, Size: int64(e.Size)})
			if total += int64(e.Size); len(files) > c.opt.Limits.Files {
				return nil, tooMany("files", c.opt.Limits.Files, "", 0)
			}
			if total > c.opt.Limits.Total {
				return nil, caos.Errorf(caos.TooLarge, "the version has more than %d bytes", c.opt.Limits.Total).WithField("source").WithRule("mlflow-size").
					WithHint("add its files with: caos model artifact add")
			}
		}
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

func tooMany(what string, n int, more string, m int) error {
	err := caos.Errorf(caos.TooLarge, "the version has more than %d %s", n, what)
	if more != "" {
		err = caos.Errorf(caos.TooLarge, "the version has more than %d %s, %s %d", n, what, more, m)
	}
	return err.WithField("source").WithRule("mlflow-listing").WithHint("is this one model? Log what belongs to it alone")
}

// checkEntry refuses an entry whose name is more than a name, or that cannot be.
func checkEntry(folder string, e listed, seen map[string]bool) error {
	why := checkComponent(e.Path)
	switch {
	case why == "" && seen[e.Path]:
		why = "is listed twice"
	case why == "" && len(folder)+1+len(e.Path) > maxPath:
		why = "is longer than a path may be"
	case why == "" && !e.IsDir && e.Size < 0:
		why = "has no size"
	}
	if why != "" {
		return caos.Errorf(caos.Invalid, "the server lists a file %q, which %s", clip(join(folder, e.Path)), why).WithField("source").WithRule("mlflow-path").
			WithHint("nothing was imported; do not trust this server before that is explained")
	}
	seen[e.Path] = true
	return nil
}

func join(folder, name string) string {
	if folder == "" || name == "" {
		return folder + name
	}
	return folder + "/" + name
}

func (c *Client) list(ctx context.Context, folder string) ([]listed, error) {
	var a struct {
		Files []listed `json:"files"`
	}
	err := c.get(ctx, proxy, url.Values{"path": {folder}}, &a)
	return a.Files, err
}

// Open reads a file of v. The reader ends with an error unless it gave exactly f.Size
// bytes. The caller closes it.
func (c *Client) Open(ctx context.Context, v *Version, f File) (io.ReadCloser, error) {
	parts := strings.Split(join(v.folder, f.Path), "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	res, err := c.open(ctx, proxy+"/"+strings.Join(parts, "/"), nil)
	if err != nil {
		return nil, err
	}
	if n := res.ContentLength; n >= 0 && n != f.Size {
		res.Body.Close()
		than := "more"
		if n < f.Size {
			than = "fewer"
		}
		return nil, wrongSize(f, than)
	}
	return &exact{ReadCloser: res.Body, file: f}, nil
}
