package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// What looks whether files keep to the plan that stands in house_test.go.

type houseFile struct {
	name  string // slash-separated, from the module's root
	lines int
	set   *token.FileSet
	ast   *ast.File
}

func parseHouseFile(name string, text []byte) (houseFile, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ParseComments)
	return houseFile{name, strings.Count(string(text), "\n"), set, file}, err
}

// inspect gives what breaks the plan, a line each.
func inspect(files []houseFile) []string {
	var faults []string
	tables := map[string][]string{} // by package
	for _, f := range files {
		if !strings.HasSuffix(f.name, "_test.go") {
			found, wrong := f.globals()
			faults = append(faults, wrong...)
			tables[path.Dir(f.name)] = append(tables[path.Dir(f.name)], found...)
		}
	}
	for _, f := range files {
		test := strings.HasSuffix(f.name, "_test.go")
		pkg := path.Dir(f.name)
		allowed, planned := planOf(pkg)
		if !planned {
			faults = append(faults, fmt.Sprintf("%s: package %s is not in the plan of cmd/headgate/house_test.go", f.name, pkg))
		}
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			own, isOwn := strings.CutPrefix(imported, module+"/")
			switch {
			case isOwn && !test && planned && own != pkg && !covers(allowed, own):
				faults = append(faults, fmt.Sprintf("%s: %s may not import %s", f.name, pkg, own))
			case !isOwn && strings.Contains(strings.Split(imported, "/")[0], "."):
				if fault := libraryFault(pkg, imported, test); fault != "" {
					faults = append(faults, f.name+": "+fault)
				}
			}
		}
		if test {
			continue
		}
		if f.lines > maxLines {
			faults = append(faults, fmt.Sprintf("%s: %d lines; %d at most", f.name, f.lines, maxLines))
		}
		faults = append(faults, f.changes(tables[pkg])...)
	}
	return faults
}

// planOf gives the row of imports that counts for a package.
func planOf(pkg string) (allowed []string, planned bool) {
	if allowed, planned = imports[pkg]; planned {
		return allowed, true
	}
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		if allowed, planned = imports[dir+"/..."]; planned {
			return allowed, true
		}
	}
	return nil, false
}

func covers(allowed []string, pkg string) bool {
	return slices.ContainsFunc(allowed, func(a string) bool {
		tree, isTree := strings.CutSuffix(a, "...")
		return a == pkg || isTree && (strings.HasPrefix(pkg+"/", tree))
	})
}

func libraryFault(pkg, imported string, test bool) string {
	for library, use := range libraries {
		if imported != library && !strings.HasPrefix(imported, library+"/") {
			continue
		}
		if covers(use.rooms, pkg) || test && !use.sealed {
			return ""
		}
		return fmt.Sprintf("%s is for %s alone", library, strings.Join(use.rooms, ", "))
	}
	if test {
		return ""
	}
	return imported + " has no room in the plan of cmd/headgate/house_test.go"
}

// globals gives a file's top-level variables, and what of its top level keeps
// state: init, and variables that are no error, table, embedded file or
// interface check.
func (f houseFile) globals() (tables, faults []string) {
	report := func(pos token.Pos, format string, args ...any) {
		faults = append(faults, fmt.Sprintf("%s:%d: %s", f.name, f.set.Position(pos).Line, fmt.Sprintf(format, args...)))
	}
	for _, decl := range f.ast.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			report(fn.Pos(), "func init: what is needed comes through constructors")
		}
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			spec := spec.(*ast.ValueSpec)
			if isEmbed(gen.Doc) || isEmbed(spec.Doc) {
				continue
			}
			for i, name := range spec.Names {
				if name.Name == "_" {
					continue
				}
				if i >= len(spec.Values) || !isConstantLike(spec.Values[i]) {
					report(name.Pos(), "variable %s: only errors, tables and embedded files stand at the top level", name.Name)
				}
				tables = append(tables, name.Name)
			}
		}
	}
	return tables, faults
}

func isEmbed(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// isConstantLike says whether a value is one that Go would let be a constant if
// it could: an error, a literal table, a compiled pattern.
func isConstantLike(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.CompositeLit:
		if sel, ok := v.Type.(*ast.SelectorExpr); ok {
			pkg, ok := sel.X.(*ast.Ident)
			return !ok || pkg.Name != "sync" && pkg.Name != "atomic"
		}
		return true
	case *ast.CallExpr:
		sel, ok := v.Fun.(*ast.SelectorExpr)
		if !ok {
			return false
		}
		pkg, ok := sel.X.(*ast.Ident)
		return ok && slices.Contains([]string{
			"errors.New", "fmt.Errorf", "regexp.MustCompile", "crc32.MakeTable", "strings.NewReplacer", "template.Must",
			"reflect.TypeFor", "reflect.TypeOf",
		}, pkg.Name+"."+sel.Sel.Name)
	}
	return false
}

// changes reports where the functions of a file assign to, or into, one of its
// package's top-level tables. A function that declares the name itself is
// taken to mean its own.
func (f houseFile) changes(tables []string) []string {
	var faults []string
	for _, decl := range f.ast.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		local := declaredIn(fn)
		look := func(target ast.Expr) {
			name := rootName(target)
			if slices.Contains(tables, name) && !local[name] {
				faults = append(faults, fmt.Sprintf("%s:%d: table %s is changed: a table stays as it is", f.name, f.set.Position(target.Pos()).Line, name))
			}
		}
		ast.Inspect(fn, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				for _, target := range n.Lhs {
					look(target)
				}
			case *ast.IncDecStmt:
				look(n.X)
			case *ast.CallExpr:
				if called := rootName(n.Fun); (called == "delete" || called == "clear") && len(n.Args) > 0 {
					look(n.Args[0])
				}
			}
			return true
		})
	}
	return faults
}

// declaredIn gives the names that a function declares: parameters, results and
// variables.
func declaredIn(fn *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				names[name.Name] = true
			}
		case *ast.AssignStmt:
			for _, target := range n.Lhs {
				if name, ok := target.(*ast.Ident); ok && n.Tok == token.DEFINE {
					names[name.Name] = true
				}
			}
		case *ast.RangeStmt:
			for _, target := range []ast.Expr{n.Key, n.Value} {
				if name, ok := target.(*ast.Ident); ok && n.Tok == token.DEFINE {
					names[name.Name] = true
				}
			}
		}
		return true
	})
	return names
}

// rootName gives the x of x, x[i], x.f and *x; "" for anything else.
func rootName(target ast.Expr) string {
	for {
		switch t := target.(type) {
		case *ast.IndexExpr:
			target = t.X
		case *ast.SelectorExpr:
			target = t.X
		case *ast.StarExpr:
			target = t.X
		case *ast.ParenExpr:
			target = t.X
		case *ast.Ident:
			return t.Name
		default:
			return ""
		}
	}
}
