// Package s3test gives tests a real object store: versitygw on a folder of the test, stopped
// when the test ends. Its program is looked for in bin/ of the repository and in PATH (.ci/run
// installs it); without it tests are skipped, or fail where CI=true. CAOS_TEST_S3 may name a
// server that runs already, as http://ACCESS:SECRET@host:port.
package s3test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// The keys of every server that Start starts.
const (
	Access = "AKCAOSTEST"
	Secret = "caos-test-secret-0123456789" //nolint:gosec // of a server that lives as long as a test
)

// Server is a running object store.
type Server struct {
	URL    string // http://127.0.0.1:port
	Access string
	Secret string
	Client *s3.Client // with these keys
	Dir    string     // of buckets, "" for a server that was there before
}

// program finds versitygw, "" if there is none.
func program() string {
	dir, err := os.Getwd()
	for err == nil && dir != "/" {
		if path := filepath.Join(dir, "bin", "versitygw"); executable(path) {
			return path
		}
		dir = filepath.Dir(dir)
	}
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	return ""
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// Start gives a test an object store with the buckets named. It skips the test if it cannot.
func Start(t testing.TB, buckets ...string) *Server {
	t.Helper()
	s := &Server{Access: Access, Secret: Secret}
	if given := os.Getenv("CAOS_TEST_S3"); given != "" {
		u, err := url.Parse(given)
		if err != nil || u.User == nil {
			t.Fatal("CAOS_TEST_S3 is not http://ACCESS:SECRET@host:port")
		}
		s.Access = u.User.Username()
		s.Secret, _ = u.User.Password()
		u.User = nil
		s.URL = u.String()
	} else {
		path := program()
		if path == "" {
			if os.Getenv("CI") == "true" {
				t.Fatal("no versitygw in bin/ or PATH, and CAOS_TEST_S3 names no server: .ci/run installs it")
			}
			t.Skip("no versitygw in bin/ or PATH, and CAOS_TEST_S3 names no server")
		}
		s.Dir = t.TempDir()
		s.start(t, path)
	}
	s.Client = client(s.URL, s.Access, s.Secret)
	for _, b := range buckets {
		if _, err := s.Client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &b}); err != nil {
			var there *types.BucketAlreadyOwnedByYou
			if !errors.As(err, &there) {
				t.Fatal(err)
			}
		}
	}
	return s
}

func client(address, access, secret string) *s3.Client {
	return s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: &address, UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: access, SecretAccessKey: secret}, nil
		}),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired, ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
	})
}

// start runs the program on a free port. Another process may take the port in between, so it
// is tried more than once.
func (s *Server) start(t testing.TB, path string) {
	t.Helper()
	buckets, meta := filepath.Join(s.Dir, "buckets"), filepath.Join(s.Dir, "meta")
	for _, d := range []string{buckets, meta} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	var said bytes.Buffer
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		_ = l.Close() // the port is what was wanted
		said.Reset()
		cmd := exec.Command(path, "--port", addr, "--access", s.Access, "--secret", s.Secret, "--health", "/healthz-of-the-test", "--quiet", "posix", "--sidecar", meta, buckets) //nolint:gosec // found above
		cmd.Stdout, cmd.Stderr = &said, &said
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.Dir}
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }() // killed in the end
		stop := func() { _ = cmd.Process.Kill(); <-ended }
		if ready("http://"+addr, ended) {
			t.Cleanup(stop)
			s.URL = "http://" + addr
			return
		}
		stop()
	}
	t.Fatalf("versitygw did not start:\n%s", said.String())
}

// ready waits until the server answers.
func ready(address string, ended <-chan struct{}) bool {
	limit := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	c := &http.Client{Timeout: time.Second}
	defer c.CloseIdleConnections()
	for {
		if resp, err := c.Get(address + "/healthz-of-the-test"); err == nil {
			_ = resp.Body.Close() // empty
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ended:
			return false
		case <-limit:
			return false
		case <-tick.C:
		}
	}
}

// Put writes an object with a checksum of the whole.
func (s *Server) Put(t testing.TB, bucket, key, text string) {
	t.Helper()
	if _, err := s.Client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(text), ChecksumAlgorithm: types.ChecksumAlgorithmSha256}); err != nil {
		t.Fatal(err)
	}
}

// Get reads an object; false if there is none.
func (s *Server) Get(t testing.TB, bucket, key string) (string, bool) {
	t.Helper()
	out, err := s.Client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	var none *types.NoSuchKey
	if errors.As(err, &none) {
		return "", false
	}
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	text, err := io.ReadAll(out.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text), true
}

// List gives the objects of a bucket with a prefix, and the uploads under way.
func (s *Server) List(t testing.TB, bucket, prefix string) (objects, uploads []string) {
	t.Helper()
	out, err := s.Client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out.Contents {
		objects = append(objects, aws.ToString(o.Key))
	}
	up, err := s.Client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket, Prefix: &prefix})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range up.Uploads {
		uploads = append(uploads, aws.ToString(u.Key))
	}
	return objects, uploads
}
