const { contextBridge, ipcRenderer } = require("electron");
contextBridge.exposeInMainWorld("main", { classify: (text) => ipcRenderer.invoke("classify", text) });
