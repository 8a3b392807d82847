package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// facts are what a figure depends on besides the code.
type facts struct {
	Processor  string            `json:"processor"`
	Processors int               `json:"processors"`
	MemoryMB   int               `json:"memory_mb"`
	Kernel     string            `json:"kernel"`
	Go         string            `json:"go"`
	FSync      float64           `json:"fsync_ms"` // median of a 4 KB write and fsync in the scratch folder
	Load       string            `json:"load_average"`
	Versions   map[string]string `json:"versions"`
}

func (f facts) String() string {
	var v []string
	for _, m := range measuredModules {
		v = append(v, filepath.Base(strings.TrimSuffix(m, "/v5"))+" "+f.Versions[m])
	}
	return fmt.Sprintf("%s × %d, %d MB, Linux %s, %s, fsync of 4 KB %.2f ms, load average %s\n%s",
		f.Processor, f.Processors, f.MemoryMB, f.Kernel, f.Go, f.FSync, f.Load, strings.Join(v, ", "))
}

// measuredModules decide the figures; their versions have to be those of the product.
var measuredModules = [...]string{
	"modernc.org/sqlite", "github.com/jackc/pgx/v5", "github.com/transparency-dev/tessera", "github.com/dbos-inc/dbos-transact-golang",
}

func machine(dir string) facts {
	f := facts{Processor: "?", Processors: runtime.NumCPU(), Go: runtime.Version(), Load: loadAverage(), Versions: map[string]string{}}
	f.Processor = field("/proc/cpuinfo", "model name")
	var kb int
	_, _ = fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%d", &kb)
	f.MemoryMB = kb / 1024
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		f.Kernel = strings.TrimSpace(string(text))
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			for _, m := range measuredModules {
				if d.Path == m {
					f.Versions[m] = d.Version
				}
			}
		}
	}
	f.FSync = fsyncTime(dir)
	return f
}

// field reads "name : value" from a file of /proc.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "?"
	}
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "?"
}

func fsyncTime(dir string) float64 {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return -1
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var ms []float64
	block := make([]byte, 4096)
	for range 50 {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			return -1
		}
		if err := f.Sync(); err != nil {
			return -1
		}
		ms = append(ms, time.Since(start).Seconds()*1e3)
	}
	return median(ms)
}
