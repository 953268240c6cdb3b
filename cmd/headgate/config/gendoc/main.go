// Command gendoc writes docs.txt, in which the configuration's keys are described:
// the comments of all struct fields with a toml tag in some directories. go generate
// runs it: gendoc FILE ROOT DIRECTORY..., these below ROOT. It knows nothing of what
// the keys mean.
package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

func main() {
	if err := write(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintf(os.Stderr, "gendoc: %v\n", err)
		os.Exit(1)
	}
}

// write describes the fields in the directories below root.
func write(name, root string, dirs []string) error {
	var out strings.Builder
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			return err
		}
		if len(files) == 0 {
			return fmt.Errorf("%s: %w", filepath.Join(root, dir), fs.ErrNotExist)
		}
		for _, source := range files {
			if strings.HasSuffix(source, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), source, nil, parser.ParseComments)
			if err != nil {
				return err
			}
			describe(&out, path.Join("headgate", dir), file)
		}
	}
	return os.WriteFile(name, []byte(out.String()), 0o644)
}

// describe writes the name of each field, and below it, indented, its comment. A
// field without one has that of the field before, if that names it.
func describe(out *strings.Builder, pkg string, file *ast.File) {
	ast.Inspect(file, func(n ast.Node) bool {
		t, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		s, ok := t.Type.(*ast.StructType)
		if !ok {
			return false
		}
		last := ""
		for _, f := range s.Fields.List {
			doc := f.Doc.Text()
			if doc == "" {
				doc = f.Comment.Text()
			}
			if doc != "" {
				last = doc
			}
			if f.Tag == nil || !strings.Contains(f.Tag.Value, `toml:"`) {
				continue
			}
			for _, name := range f.Names {
				if doc == "" && strings.Contains(last, name.Name) {
					doc = last
				}
				fmt.Fprintf(out, "%s.%s.%s\n", pkg, t.Name.Name, name.Name)
				for line := range strings.Lines(doc) {
					fmt.Fprintf(out, "\t%s\n", strings.TrimRight(line, "\n"))
				}
			}
		}
		return false
	})
}
