# What an interpreter says about itself, before it is loaded into a child of httpd: a line with its version, and
# one for each place where its shared library may be.
import os
import sys
import sysconfig

variables = sysconfig.get_config_vars()
print(sys.version.split()[0])

with open("/proc/self/maps") as maps:
    for line in maps:
        path = line.rstrip("\n").partition("/")[2]
        if path.rpartition("/")[2].startswith("libpython3."):
            print("/" + path)
names = [name for name in (variables.get("INSTSONAME"), variables.get("LDLIBRARY")) if name and ".so" in name]
names.append("libpython%s%s.so.1.0" % (sysconfig.get_python_version(), getattr(sys, "abiflags", "")))
folders = [variables.get("LIBDIR"), os.path.join(sys.base_prefix, "lib"), os.path.join(sys.base_prefix, "lib64")]
multiarch = variables.get("MULTIARCH")
for folder in folders:
    for directory in (folder, folder and multiarch and os.path.join(folder, multiarch)):
        for name in names:
            if directory and os.path.exists(os.path.join(directory, name)):
                print(os.path.join(directory, name))
